//! The configuration of a U-Net, with the same fields as that of diffusers' `UNet2DModel`.

use serde::{Deserialize, Serialize};

// ANCHOR: config
/// What a U-Net looks like. Fields have the names and defaults of diffusers'
/// `UNet2DModel`; those not explained here are alternatives that this book does not
/// build, and [`UNetConfig::check`] rejects them by name.
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
    /// Stretches the range of frequencies in the time embedding.
    pub freq_shift: i64,
    pub in_channels: usize,
    /// Residual blocks per level on the way down; the way up has one more.
    pub layers_per_block: usize,
    /// What the sum of input and output is divided by in the blocks of the middle.
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
            _class_name: Self::CLASS_NAME.into(),
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

impl UNetConfig {
    /// The class in diffusers that has this configuration.
    pub const CLASS_NAME: &'static str = "UNet2DModel";

    /// How many numbers the residual and attention blocks produce in all for one image of this
    /// height and width. The memory that a step takes grows with this number.
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

    /// Width of the time embedding after its two layers.
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

    /// Channels, height and width of the inputs, if the configuration gives a size.
    pub fn input_shape(&self) -> Option<[usize; 3]> {
        Some(match self.sample_size? {
            SampleSize::Square(s) => [self.in_channels, s, s],
            SampleSize::HeightWidth([h, w]) => [self.in_channels, h, w],
        })
    }
}
