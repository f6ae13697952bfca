//! Configurations by name.

use crate::{BlockType, SampleSize, UNetConfig, MAX_LEVELS};

/// Configurations by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Preset {
    /// For the 16×16 cats: learns in minutes on a laptop
    Cats,
    /// For 28×28 digits
    Mnist,
    /// For a laptop; depends on the size of the images: at 16×16 it is the same as cats
    Small,
    /// The 35.7 million parameters of the DDPM paper's CIFAR-10 model
    DdpmCifar10,
    /// Fast and poor, for trying things out
    Tiny,
}

impl Preset {
    /// Channels, height and width of the images that the preset is made for.
    pub fn input_shape(self) -> [usize; 3] {
        match self {
            Self::Cats | Self::Tiny => [3, 16, 16],
            Self::Mnist => [1, 28, 28],
            Self::Small | Self::DdpmCifar10 => [3, 32, 32],
        }
    }

    /// The configuration for images with these channels, height and width.
    pub fn config(self, [channels, height, width]: [usize; 3]) -> UNetConfig {
        use BlockType::*;
        let sample_size = if height == width {
            SampleSize::Square(height)
        } else {
            SampleSize::HeightWidth([height, width])
        };
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
            // Attention only where the image is 7×7: at 14×14 it would cost as much as
            // a level of convolutions.
            Self::Mnist => UNetConfig {
                block_out_channels: vec![24, 48, 64],
                down_block_types: vec![DownBlock2D, DownBlock2D, AttnDownBlock2D],
                up_block_types: vec![AttnUpBlock2D, UpBlock2D, UpBlock2D],
                layers_per_block: 1,
                norm_num_groups: 8,
                attention_head_dim: Some(32),
                ..base
            },
            Self::Small => small(base, height.min(width)),
            // ANCHOR: ddpm_cifar10
            Self::DdpmCifar10 => UNetConfig {
                block_out_channels: vec![128, 256, 256, 256],
                down_block_types: vec![
                    DownBlock2D,
                    AttnDownBlock2D,
                    DownBlock2D,
                    DownBlock2D,
                ],
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

/// [`Preset::Small`] for images whose smaller side is `side`: halves them while that side is even
/// and larger than 4, and has attention where there are at most 8×8 pixels.
fn small(base: UNetConfig, side: usize) -> UNetConfig {
    let mut sides = vec![side];
    while sides[sides.len() - 1] % 2 == 0
        && sides[sides.len() - 1] > 4
        && sides.len() < MAX_LEVELS
    {
        sides.push(sides[sides.len() - 1] / 2);
    }
    let attends = sides.iter().position(|&side| side <= 8);
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for level in 0..sides.len() {
        let (down_type, up_type) = if Some(level) == attends {
            (BlockType::AttnDownBlock2D, BlockType::AttnUpBlock2D)
        } else {
            (BlockType::DownBlock2D, BlockType::UpBlock2D)
        };
        down.push(down_type);
        up.insert(0, up_type);
    }
    UNetConfig {
        block_out_channels: (0..sides.len())
            .map(|level| if level == 0 { 32 } else { 64 })
            .collect(),
        down_block_types: down,
        up_block_types: up,
        layers_per_block: 1,
        norm_num_groups: 8,
        attention_head_dim: Some(32),
        ..base
    }
}
