//! Chapter 9: evaluation. How good is what was drawn?

mod bound;
pub mod classifier;
mod crowd;
mod distance;
mod judge;
mod spread;

pub use bound::{bound_term, prior_term};
pub use crowd::share_within;
pub use distance::{frechet_distance, kernel_distance, nearest, Nearest};
pub use judge::{chance_larger, quantile, share_above};
pub use spread::Spread;

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch09.md")]
struct Page;
