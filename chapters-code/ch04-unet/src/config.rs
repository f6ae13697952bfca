//! The configuration of a U-Net, field for field that of diffusers' `UNet2DModel`.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::model_dir::DiffusersConfig;

// ANCHOR: config
/// What a U-Net looks like. Fields have the names and defaults of diffusers'
/// `UNet2DModel`; those not explained here are alternatives that this book does not
/// build, and [`UNetConfig::check`] refuses them by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNetConfig {
    pub _class_name: String,
    pub _diffusers_version: String,
    pub act_fn: String,
    /// Whether the middle has attention.
    pub add_attention: bool,
    /// Channels per attention head; none means a single head.
    pub attention_head_dim: Option<usize>,
    /// Groups of the norm before the middle's attention; none means `norm_num_groups`.
    pub attn_norm_num_groups: Option<usize>,
    /// Channels of each level, from the largest image to the smallest.
    pub block_out_channels: Vec<usize>,
    /// Whether inputs come in [0, 1] and must be brought to [-1, 1].
    pub center_input_sample: bool,
    pub class_embed_type: Option<String>,
    /// Kind of each level on the way down.
    pub down_block_types: Vec<BlockType>,
    /// 1: pad all around before halving; 0: below and right only.
    pub downsample_padding: usize,
    pub downsample_type: String,
    pub dropout: f64,
    /// Whether cosines come before sines in the time embedding.
    pub flip_sin_to_cos: bool,
    /// Shortens the range of frequencies in the time embedding.
    pub freq_shift: i64,
    pub in_channels: usize,
    /// Residual blocks per level on the way down; the way up has one more.
    pub layers_per_block: usize,
    /// What the middle's sums are divided by.
    pub mid_block_scale_factor: f64,
    pub mid_block_type: Option<String>,
    /// Added to variances in group norms.
    pub norm_eps: f64,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    pub num_class_embeds: Option<usize>,
    pub num_train_timesteps: Option<usize>,
    pub out_channels: usize,
    pub resnet_time_scale_shift: String,
    /// Height and width of the images: one number, two, or none.
    pub sample_size: Option<SampleSize>,
    pub time_embedding_dim: Option<usize>,
    pub time_embedding_type: String,
    /// Kind of each level on the way up, from the smallest image to the largest.
    pub up_block_types: Vec<BlockType>,
    pub upsample_type: String,
}
// ANCHOR_END: config

/// A size in a config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a whole number or two, height and width, are needed")]
pub enum SampleSize {
    Square(usize),
    HeightWidth([usize; 2]),
}

/// The kinds of levels that this book builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockType {
    DownBlock2D,
    AttnDownBlock2D,
    UpBlock2D,
    AttnUpBlock2D,
}

impl BlockType {
    /// Whether attention follows each residual block.
    pub fn has_attention(self) -> bool {
        matches!(self, Self::AttnDownBlock2D | Self::AttnUpBlock2D)
    }
}

impl Default for UNetConfig {
    fn default() -> Self {
        use BlockType::*;
        Self {
            _class_name: "UNet2DModel".into(),
            _diffusers_version: "0.30.0".into(),
            act_fn: "silu".into(),
            add_attention: true,
            attention_head_dim: Some(8),
            attn_norm_num_groups: None,
            block_out_channels: vec![224, 448, 672, 896],
            center_input_sample: false,
            class_embed_type: None,
            down_block_types: vec![
                DownBlock2D,
                AttnDownBlock2D,
                AttnDownBlock2D,
                AttnDownBlock2D,
            ],
            downsample_padding: 1,
            downsample_type: "conv".into(),
            dropout: 0.0,
            flip_sin_to_cos: true,
            freq_shift: 0,
            in_channels: 3,
            layers_per_block: 2,
            mid_block_scale_factor: 1.0,
            mid_block_type: Some("UNetMidBlock2D".into()),
            norm_eps: 1e-5,
            norm_num_groups: 32,
            num_class_embeds: None,
            num_train_timesteps: None,
            out_channels: 3,
            resnet_time_scale_shift: "default".into(),
            sample_size: None,
            time_embedding_dim: None,
            time_embedding_type: "positional".into(),
            up_block_types: vec![
                AttnUpBlock2D,
                AttnUpBlock2D,
                AttnUpBlock2D,
                UpBlock2D,
            ],
            upsample_type: "conv".into(),
        }
    }
}

/// A configuration that cannot be built: which field, which value, what is possible.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}, but {need}")]
pub struct ConfigError {
    pub field: &'static str,
    pub value: String,
    pub need: String,
}

impl ConfigError {
    /// For a field whose value is not one of those that are possible.
    pub fn new(
        field: &'static str,
        value: impl Display,
        need: impl Into<String>,
    ) -> Self {
        Self { field, value: value.to_string(), need: need.into() }
    }

    /// Checks that a size lies in a range.
    ///
    /// # Errors
    /// Names the field and the range.
    pub fn check_size(
        field: &'static str,
        value: usize,
        range: RangeInclusive<usize>,
    ) -> Result<(), Self> {
        let need = || format!("it must be from {} to {}", range.start(), range.end());
        match range.contains(&value) {
            true => Ok(()),
            false => Err(Self::new(field, value, need())),
        }
    }

    /// Checks a number as it is used, that is, as an f32: it is finite, and `good`
    /// accepts it.
    ///
    /// # Errors
    /// Names the field and what it needs.
    pub fn check_number(
        field: &'static str,
        value: f64,
        need: &str,
        good: fn(f32) -> bool,
    ) -> Result<(), Self> {
        let used = value as f32;
        match used.is_finite() && good(used) {
            true => Ok(()),
            false => Err(Self::new(field, format_args!("{value:?}"), need)),
        }
    }

    /// Checks that a text is the only one that is supported.
    ///
    /// # Errors
    /// Names the field and the text.
    pub fn check_only(
        field: &'static str,
        value: &str,
        allowed: &str,
    ) -> Result<(), Self> {
        match value == allowed {
            true => Ok(()),
            false => {
                let need = format!("only \"{allowed}\" is supported");
                Err(Self::new(field, format_args!("\"{value}\""), need))
            }
        }
    }
}

impl UNetConfig {
    /// How many numbers leave all residual and attention blocks together for one image
    /// of this height and width: what the memory of a step grows with.
    pub fn features(&self, [height, width]: [usize; 2]) -> u128 {
        let levels = self.block_out_channels.iter().zip(&self.down_block_types);
        let levels = levels.zip(self.up_block_types.iter().rev()).enumerate();
        let layers = self.layers_per_block;
        let sum = levels.map(|(level, ((&channels, down), up))| {
            let pixels =
                (height >> level).max(1) as u128 * (width >> level).max(1) as u128;
            let down = layers * (1 + down.has_attention() as usize);
            let up = (layers + 1) * (1 + up.has_attention() as usize);
            let is_last = level + 1 == self.block_out_channels.len();
            let middle = if is_last { 2 + self.add_attention as usize } else { 0 };
            pixels * channels as u128 * (down + up + middle) as u128
        });
        sum.sum()
    }

    /// Width of the time embedding behind its two layers.
    pub fn time_width(&self) -> usize {
        self.time_embedding_dim.unwrap_or(4 * self.block_out_channels[0])
    }

    /// Heads of an attention block with this many channels.
    pub fn heads(&self, channels: usize) -> usize {
        channels / self.attention_head_dim.unwrap_or(channels)
    }

    /// Height and width must be multiples of this.
    pub fn size_factor(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Channels, height and width of the inputs, if the config says.
    pub fn input_shape(&self) -> Option<[usize; 3]> {
        Some(match self.sample_size? {
            SampleSize::Square(s) => [self.in_channels, s, s],
            SampleSize::HeightWidth([h, w]) => [self.in_channels, h, w],
        })
    }

    /// Rejects what this crate cannot build, and sizes beyond all reason.
    ///
    /// # Errors
    /// Names the field, its value and what is possible.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_kinds()?;
        self.check_numbers()?;
        self.check_levels()?;
        self.check_groups()?;
        self.check_sample_size()
    }

    /// The alternatives that this book does not build.
    fn check_kinds(&self) -> Result<(), ConfigError> {
        let only = ConfigError::check_only;
        only("_class_name", &self._class_name, Self::CLASS)?;
        if self.act_fn != "swish" {
            only("act_fn", &self.act_fn, "silu")?; // swish is another name of silu
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
        match self.dropout == 0.0 {
            true => Ok(()),
            false => {
                Err(ConfigError::new("dropout", self.dropout, "only 0 is supported"))
            }
        }
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let (size, number) = (ConfigError::check_size, ConfigError::check_number);
        size("in_channels", self.in_channels, 1..=MAX_CHANNELS)?;
        size("out_channels", self.out_channels, 1..=MAX_CHANNELS)?;
        size("layers_per_block", self.layers_per_block, 1..=MAX_LAYERS)?;
        size("downsample_padding", self.downsample_padding, 0..=1)?;
        number("norm_eps", self.norm_eps, "it must be a number from 0", |v| v >= 0.0)?;
        let scale = self.mid_block_scale_factor;
        number("mid_block_scale_factor", scale, "it must be a number above 0", |v| {
            v > 0.0
        })
    }

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
        use BlockType::*;
        check_ways(
            "down_block_types",
            &self.down_block_types,
            [UpBlock2D, AttnUpBlock2D],
            levels,
        )?;
        check_ways(
            "up_block_types",
            &self.up_block_types,
            [DownBlock2D, AttnDownBlock2D],
            levels,
        )
    }

    /// Channels are shared out among the groups of norms and the heads of attention.
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
        let need = format!("with {levels} levels height and width must be multiples of {factor} up to {MAX_SIDE}");
        Err(ConfigError::new("sample_size", format_args!("{height}x{width}"), need))
    }
}

/// More channels than any level of a published model has.
pub const MAX_CHANNELS: usize = 16_384;
/// This many levels halve an image of [`MAX_SIDE`] down to 4.
pub const MAX_LEVELS: usize = 12;
/// More residual blocks per level than any published model has.
pub const MAX_LAYERS: usize = 64;
/// Height and width of the largest images.
pub const MAX_SIDE: usize = 8192;

fn check_ways(
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

fn check_divides(
    field: &'static str,
    value: usize,
    what: &str,
    channels: usize,
) -> Result<(), ConfigError> {
    match value > 0 && channels.is_multiple_of(value) {
        true => Ok(()),
        false => {
            let need = format!("{what} = {channels} must be a multiple of it");
            Err(ConfigError::new(field, value, need))
        }
    }
}
