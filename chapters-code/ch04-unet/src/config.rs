//! The configuration of a U-Net, field for field that of diffusers' `UNet2DModel`.

use serde::{Deserialize, Serialize};

// ANCHOR: config
/// What a U-Net looks like. Fields have the names and defaults of diffusers' `UNet2DModel`; those not explained here are
/// alternatives that this book does not build, and [`UNetConfig::check`] refuses them by name.
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
    #[serde(rename = "_name_or_path", skip_serializing_if = "Option::is_none")]
    pub name_or_path: Option<String>,
}
// ANCHOR_END: config

/// A size in a config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
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
            down_block_types: vec![DownBlock2D, AttnDownBlock2D, AttnDownBlock2D, AttnDownBlock2D],
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
            up_block_types: vec![AttnUpBlock2D, AttnUpBlock2D, AttnUpBlock2D, UpBlock2D],
            upsample_type: "conv".into(),
            name_or_path: None,
        }
    }
}

/// A configuration that cannot be built: which field, which value, what is possible.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("unet config: {field} is {value}, but {need}")]
pub struct ConfigError {
    pub field: &'static str,
    pub value: String,
    pub need: String,
}

/// Configurations by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// For the 16×16 cats: learns in minutes on a laptop
    Cats,
    /// For 28×28 digits
    Mnist,
    /// The 35.7 million parameters of the DDPM paper's CIFAR-10 model
    DdpmCifar10,
    /// Fast and poor, for trying things out
    Tiny,
}

impl Preset {
    /// The configuration for images of these channels, height and width.
    pub fn config(self, [channels, height, width]: [usize; 3]) -> UNetConfig {
        use BlockType::*;
        let sample_size =
            if height == width { SampleSize::Square(height) } else { SampleSize::HeightWidth([height, width]) };
        let base = UNetConfig {
            in_channels: channels,
            out_channels: channels,
            sample_size: Some(sample_size),
            ..Default::default()
        };
        match self {
            // ANCHOR: cats
            Self::Cats => UNetConfig {
                block_out_channels: vec![32, 64, 64],
                down_block_types: vec![DownBlock2D, AttnDownBlock2D, DownBlock2D],
                up_block_types: vec![UpBlock2D, AttnUpBlock2D, UpBlock2D],
                layers_per_block: 1,
                norm_num_groups: 8,
                attention_head_dim: Some(32),
                ..base
            },
            // ANCHOR_END: cats
            // Attention where the image is 7×7 only: at 14×14 it would cost as much as a level of convolutions.
            Self::Mnist => UNetConfig {
                block_out_channels: vec![24, 48, 64],
                down_block_types: vec![DownBlock2D, DownBlock2D, AttnDownBlock2D],
                up_block_types: vec![AttnUpBlock2D, UpBlock2D, UpBlock2D],
                layers_per_block: 1,
                norm_num_groups: 8,
                attention_head_dim: Some(32),
                ..base
            },
            // ANCHOR: ddpm_cifar10
            Self::DdpmCifar10 => UNetConfig {
                block_out_channels: vec![128, 256, 256, 256],
                down_block_types: vec![DownBlock2D, AttnDownBlock2D, DownBlock2D, DownBlock2D],
                up_block_types: vec![UpBlock2D, UpBlock2D, AttnUpBlock2D, UpBlock2D],
                layers_per_block: 2,
                norm_num_groups: 32,
                norm_eps: 1e-6,
                attention_head_dim: None,
                downsample_padding: 0,
                flip_sin_to_cos: false,
                freq_shift: 1,
                ..base
            },
            // ANCHOR_END: ddpm_cifar10
            Self::Tiny => UNetConfig {
                block_out_channels: vec![8, 16],
                down_block_types: vec![DownBlock2D, DownBlock2D],
                up_block_types: vec![UpBlock2D, UpBlock2D],
                layers_per_block: 1,
                norm_num_groups: 4,
                add_attention: false,
                ..base
            },
        }
    }
}

impl UNetConfig {
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

    /// Refuses what this crate cannot build.
    ///
    /// # Errors
    /// Names the field, its value and what is possible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse =
            |field: &'static str, value: String, need: &str| Err(ConfigError { field, value, need: need.to_string() });
        let only = |field: &'static str, value: &str, allowed: &str| match value == allowed {
            true => Ok(()),
            false => refuse(field, format!("\"{value}\""), &format!("only \"{allowed}\" is supported")),
        };
        only("_class_name", &self._class_name, "UNet2DModel")?;
        if self.act_fn != "swish" {
            only("act_fn", &self.act_fn, "silu")?; // swish is another name of silu
        }
        only("time_embedding_type", &self.time_embedding_type, "positional")?;
        only("resnet_time_scale_shift", &self.resnet_time_scale_shift, "default")?;
        only("downsample_type", &self.downsample_type, "conv")?;
        only("upsample_type", &self.upsample_type, "conv")?;
        only("mid_block_type", self.mid_block_type.as_deref().unwrap_or("null"), "UNetMidBlock2D")?;
        if let Some(kind) = &self.class_embed_type {
            return refuse("class_embed_type", format!("\"{kind}\""), "class embeddings are not supported");
        }
        if let Some(n) = self.num_class_embeds {
            return refuse("num_class_embeds", n.to_string(), "class embeddings are not supported");
        }
        if self.dropout != 0.0 {
            return refuse("dropout", self.dropout.to_string(), "only 0 is supported");
        }
        let levels = self.block_out_channels.len();
        if levels == 0 {
            return refuse("block_out_channels", "[]".into(), "at least one level is needed");
        }
        for (field, types, other) in [
            ("down_block_types", &self.down_block_types, [BlockType::UpBlock2D, BlockType::AttnUpBlock2D]),
            ("up_block_types", &self.up_block_types, [BlockType::DownBlock2D, BlockType::AttnDownBlock2D]),
        ] {
            if types.len() != levels {
                return refuse(
                    field,
                    format!("{types:?}"),
                    &format!("there must be one per level, and block_out_channels has {levels}"),
                );
            }
            if let Some(wrong) = types.iter().find(|t| other.contains(t)) {
                return refuse(field, format!("{types:?}"), &format!("{wrong:?} belongs to the other way"));
            }
        }
        for (field, value) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("layers_per_block", self.layers_per_block),
            ("norm_num_groups", self.norm_num_groups),
            ("time_embedding_dim", self.time_width()),
        ] {
            if value == 0 {
                return refuse(field, "0".into(), "it must be at least 1");
            }
        }
        if self.downsample_padding > 1 {
            return refuse("downsample_padding", self.downsample_padding.to_string(), "only 0 and 1 are supported");
        }
        for (field, value, zero_too) in
            [("norm_eps", self.norm_eps, true), ("mid_block_scale_factor", self.mid_block_scale_factor, false)]
        {
            if !value.is_finite() || value < 0.0 || (value == 0.0 && !zero_too) {
                return refuse(field, value.to_string(), "it must be a positive number");
            }
        }
        let half = self.block_out_channels[0] / 2;
        if half == 0 || half as i64 == self.freq_shift {
            return refuse(
                "freq_shift",
                self.freq_shift.to_string(),
                "with this block_out_channels[0] the time embedding divides by zero",
            );
        }
        for (level, &channels) in self.block_out_channels.iter().enumerate() {
            if channels == 0 || channels % self.norm_num_groups != 0 {
                let need = format!("block_out_channels[{level}] = {channels} is not a multiple of it");
                return refuse("norm_num_groups", self.norm_num_groups.to_string(), &need);
            }
            let attends = self.down_block_types[level].has_attention()
                || self.up_block_types[levels - 1 - level].has_attention()
                || (level == levels - 1 && self.add_attention);
            let head = self.attention_head_dim.unwrap_or(channels);
            if attends && (head == 0 || channels % head != 0) {
                let need = format!("block_out_channels[{level}] = {channels} is not a multiple of it");
                return refuse("attention_head_dim", head.to_string(), &need);
            }
        }
        let groups = self.attn_norm_num_groups.unwrap_or(self.norm_num_groups);
        if groups == 0 || !self.block_out_channels[levels - 1].is_multiple_of(groups) {
            return refuse("attn_norm_num_groups", groups.to_string(), "it must divide the channels of the last level");
        }
        if let Some([_, h, w]) = self.input_shape() {
            let factor = self.size_factor();
            if h == 0 || w == 0 || h % factor != 0 || w % factor != 0 {
                let need = format!("height and width must be multiples of {factor} for {levels} levels");
                return refuse("sample_size", format!("{h}x{w}"), &need);
            }
        }
        Ok(())
    }
}
