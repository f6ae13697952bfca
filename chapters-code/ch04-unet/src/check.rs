//! What a configuration may hold: what this crate can build, and no size beyond all
//! reason.

use crate::config::{BlockType, UNetConfig};
use crate::error::ConfigError;

/// More channels than any level of a published model has.
pub const MAX_CHANNELS: usize = 16_384;
/// This many levels halve an image of side [`MAX_SIDE`] down to 4.
pub const MAX_LEVELS: usize = 12;
/// More residual blocks per level than any published model has.
pub const MAX_LAYERS: usize = 64;
/// Height and width of the largest images.
pub const MAX_SIDE: usize = 8192;

impl UNetConfig {
    /// Rejects what this crate cannot build, and sizes beyond all reason.
    ///
    /// # Errors
    /// The error names the field, its value and what is possible.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_alternatives()?;
        self.check_numbers()?;
        self.check_levels()?;
        self.check_block_types()?;
        self.check_groups()?;
        self.check_sample_size()
    }

    /// Rejects the alternatives that this book does not build.
    fn check_alternatives(&self) -> Result<(), ConfigError> {
        let only = ConfigError::check_only;
        only("_class_name", &self._class_name, Self::CLASS_NAME)?;
        if self.act_fn != "swish" {
            only("act_fn", &self.act_fn, "silu")?; // swish is another name for silu
        }
        only("time_embedding_type", &self.time_embedding_type, "positional")?;
        only("resnet_time_scale_shift", &self.resnet_time_scale_shift, "default")?;
        only("downsample_type", &self.downsample_type, "conv")?;
        only("upsample_type", &self.upsample_type, "conv")?;
        only(
            "mid_block_type",
            self.mid_block_type.as_deref().unwrap_or("null"),
            "UNetMidBlock2D",
        )?;
        let no_classes = "class embeddings are not supported";
        if let Some(kind) = &self.class_embed_type {
            let value = format!("\"{kind}\"");
            return Err(ConfigError::new("class_embed_type", value, no_classes));
        }
        if let Some(n) = self.num_class_embeds {
            return Err(ConfigError::new("num_class_embeds", n, no_classes));
        }
        if self.dropout != 0.0 {
            let need = "only 0 is supported";
            return Err(ConfigError::new("dropout", self.dropout, need));
        }
        Ok(())
    }

    /// Checks the numbers that depend on no other field.
    fn check_numbers(&self) -> Result<(), ConfigError> {
        let (size, number) = (ConfigError::check_size, ConfigError::check_number);
        size("in_channels", self.in_channels, 1..=MAX_CHANNELS)?;
        size("out_channels", self.out_channels, 1..=MAX_CHANNELS)?;
        size("layers_per_block", self.layers_per_block, 1..=MAX_LAYERS)?;
        size("downsample_padding", self.downsample_padding, 0..=1)?;
        number("norm_eps", self.norm_eps, "it must be a number not below 0", |v| {
            v >= 0.0
        })?;
        let scale = self.mid_block_scale_factor;
        number("mid_block_scale_factor", scale, "it must be a number above 0", |v| {
            v > 0.0
        })
    }

    /// Checks the channels of the levels, and what depends on them.
    fn check_levels(&self) -> Result<(), ConfigError> {
        let levels = self.block_out_channels.len();
        if !(1..=MAX_LEVELS).contains(&levels) {
            let need = format!("there must be 1 to {MAX_LEVELS}");
            let value = format!("a list of {levels} levels");
            return Err(ConfigError::new("block_out_channels", value, need));
        }
        for &channels in &self.block_out_channels {
            ConfigError::check_size("block_out_channels", channels, 1..=MAX_CHANNELS)?;
        }
        ConfigError::check_size(
            "time_embedding_dim",
            self.time_width(),
            1..=4 * MAX_CHANNELS,
        )?;
        let half = (self.block_out_channels[0] / 2) as i64;
        if self.freq_shift >= half {
            let need =
                format!("it must be below {half}, half of block_out_channels[0]");
            return Err(ConfigError::new("freq_shift", self.freq_shift, need));
        }
        Ok(())
    }

    fn check_block_types(&self) -> Result<(), ConfigError> {
        use BlockType::*;
        let levels = self.block_out_channels.len();
        check_types(
            "down_block_types",
            &self.down_block_types,
            [UpBlock2D, AttnUpBlock2D],
            levels,
        )?;
        check_types(
            "up_block_types",
            &self.up_block_types,
            [DownBlock2D, AttnDownBlock2D],
            levels,
        )
    }

    /// Checks that channels can be shared out among the groups of norms and the heads of attention.
    fn check_groups(&self) -> Result<(), ConfigError> {
        let levels = self.block_out_channels.len();
        for (level, &channels) in self.block_out_channels.iter().enumerate() {
            let what = format!("block_out_channels[{level}]");
            check_divides("norm_num_groups", self.norm_num_groups, &what, channels)?;
            let attends = self.down_block_types[level].has_attention()
                || self.up_block_types[levels - 1 - level].has_attention()
                || (level == levels - 1 && self.add_attention);
            if attends {
                let head = self.attention_head_dim.unwrap_or(channels);
                check_divides("attention_head_dim", head, &what, channels)?;
            }
        }
        let last = levels - 1;
        let groups = self.attn_norm_num_groups.unwrap_or(self.norm_num_groups);
        let what = format!("block_out_channels[{last}]");
        check_divides(
            "attn_norm_num_groups",
            groups,
            &what,
            self.block_out_channels[last],
        )
    }

    /// Checks that the images can be halved at every level but the last.
    fn check_sample_size(&self) -> Result<(), ConfigError> {
        let Some([_, height, width]) = self.input_shape() else {
            return Ok(());
        };
        let (levels, factor) = (self.block_out_channels.len(), self.size_factor());
        let fits =
            |side: usize| (1..=MAX_SIDE).contains(&side) && side.is_multiple_of(factor);
        if fits(height) && fits(width) {
            return Ok(());
        }
        let need = format!(
            "with {levels} levels, height and width must be multiples of {factor} up to \
            {MAX_SIDE}"
        );
        Err(ConfigError::new("sample_size", format_args!("{height}x{width}"), need))
    }
}

/// Checks that a list has one type per level, and none for the `other` direction.
fn check_types(
    field: &'static str,
    types: &[BlockType],
    other: [BlockType; 2],
    levels: usize,
) -> Result<(), ConfigError> {
    if types.len() != levels {
        let need =
            format!("there must be one per level, and block_out_channels has {levels}");
        return Err(ConfigError::new(
            field,
            format_args!("a list of {}", types.len()),
            need,
        ));
    }
    match types.iter().find(|kind| other.contains(kind)) {
        Some(wrong) => {
            let need = format!("{wrong:?} goes in the other list");
            Err(ConfigError::new(field, format_args!("{types:?}"), need))
        }
        None => Ok(()),
    }
}

/// Checks that channels can be shared out evenly.
fn check_divides(
    field: &'static str,
    value: usize,
    what: &str,
    channels: usize,
) -> Result<(), ConfigError> {
    if value > 0 && channels.is_multiple_of(value) {
        return Ok(());
    }
    let need = format!("{what} = {channels} must be a multiple of it");
    Err(ConfigError::new(field, value, need))
}
