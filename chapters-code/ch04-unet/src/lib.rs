//! Chapter 4: the U-Net of the DDPM paper (Ho et al. 2020, appendix B), with the field
//! names and parameter names of `UNet2DModel` in Hugging Face diffusers, so that weights can travel
//! both ways.
//!
//! The network takes x_t and t, and answers with an image of the same size: the noise
//! in x_t, or whatever it was trained to predict.

mod blocks;
mod check;
mod config;
mod error;
pub mod model_dir;
mod outline;
mod plan;
mod preset;
mod stages;
mod summary;
mod unet;

pub use blocks::{
    time_embedding, AttentionBlock, AttentionSize, Common, Downsample, ResnetBlock,
    ResnetSize, Stage, Upsample,
};
pub use check::{MAX_CHANNELS, MAX_LAYERS, MAX_LEVELS, MAX_SIDE};
pub use config::{BlockType, SampleSize, UNetConfig};
pub use error::ConfigError;
pub use outline::add_attention;
pub use preset::Preset;
pub use summary::{summary, StageSummary};
pub use unet::{BlockHook, UNet};

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch04.md")]
struct Page;
