//! Your answers. `cargo test -p ch07-ddim --test exercises` says whether they are
//! right.
#![allow(unused_variables)]

use ch02_schedule::Schedule;
use ch06_sampling::Denoiser;
use ops::{AutoDevice, Images};

/// The length of the midpoint between two independent samples of noise, as a share of the length of
/// either: halfway along a straight line, only this share is left, whereas a circle keeps the full
/// length.
pub fn length_half_way() -> f64 {
    todo!()
}

/// The deviation of the noise that a step from t to `prev` adds with eta 1, as in ancestral
/// sampling.
pub fn sigma(schedule: &Schedule, t: usize, prev: usize) -> f64 {
    todo!()
}

/// A step without fresh noise, from x_t at `t` to `prev`, given the predicted noise.
pub fn step(
    schedule: &Schedule,
    t: usize,
    prev: usize,
    x_t: &Images<AutoDevice>,
    eps: &Images<AutoDevice>,
) -> Images<AutoDevice> {
    todo!()
}

/// One step of Heun's method, from x_t at `t` to `prev`. `eps` predicts the noise in
/// images at a timestep; ask it twice.
pub fn heun(
    schedule: &Schedule,
    t: usize,
    prev: usize,
    x_t: &Images<AutoDevice>,
    eps: &Denoiser<AutoDevice>,
) -> Images<AutoDevice> {
    todo!()
}
