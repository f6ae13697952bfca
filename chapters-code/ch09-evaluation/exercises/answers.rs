//! Your answers. `cargo test -p ch09-evaluation --test exercises` says whether they are
//! right.
#![allow(unused_variables, unused_imports)]

use ch09_evaluation::nearest;

/// The mean and the standard deviation of some numbers (divide by one less than their
/// count).
pub fn spread(values: &[f64]) -> (f64, f64) {
    todo!()
}

/// The Fréchet distance between two one-dimensional Gaussians, each given by its mean and its
/// standard deviation.
pub fn frechet(a: (f64, f64), b: (f64, f64)) -> f64 {
    todo!()
}

/// The share of `points` that lie among `crowd`, that is, no farther from some member of the crowd
/// than that member is from its nearest neighbour in the crowd.
pub fn share_among(points: &[f64], crowd: &[f64]) -> f64 {
    todo!()
}

/// The share of the images in `drawn` that are nearer to one of `training` than to any of
/// `heldout`, which holds as many images as `training`.
pub fn nearer_to_training(
    drawn: &[Vec<f32>],
    training: &[Vec<f32>],
    heldout: &[Vec<f32>],
) -> f64 {
    todo!()
}
