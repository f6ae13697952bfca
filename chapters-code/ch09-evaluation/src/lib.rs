//! Chapter 9: evaluation. How good is what was drawn?

pub mod classifier;
mod distance;

pub use distance::{frechet_distance, kernel_distance, nearest};
