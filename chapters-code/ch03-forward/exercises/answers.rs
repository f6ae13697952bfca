//! Your answers. `cargo test -p ch03-forward --test exercises` says whether they are
//! right.
#![allow(unused_variables)]

use ch02_schedule::Schedule;
use ops::{AutoDevice, Images};

/// For an image whose values have this standard deviation: the first timestep at which the standard
/// deviation of the noise is no smaller than that of the remaining image.
pub fn drowned(schedule: &Schedule, deviation: f64) -> usize {
    todo!()
}

/// The noise that made `x_t` out of `x0` at timestep `t`.
pub fn noise_in(
    schedule: &Schedule,
    x0: &Images<AutoDevice>,
    x_t: &Images<AutoDevice>,
    t: usize,
) -> Images<AutoDevice> {
    todo!()
}

/// From x_s to x_t in one jump, for s < t, with noise `eps`.
pub fn jump_on(
    schedule: &Schedule,
    x_s: &Images<AutoDevice>,
    s: usize,
    t: usize,
    eps: &Images<AutoDevice>,
) -> Images<AutoDevice> {
    todo!()
}

/// For each candidate, the probability that it is the clean image of `x_t` at timestep `t`, if
/// all were equally probable beforehand. The probabilities add up to 1.
pub fn posterior(
    schedule: &Schedule,
    t: usize,
    x_t: &[f32],
    candidates: &[Vec<f32>],
) -> Vec<f64> {
    todo!()
}
