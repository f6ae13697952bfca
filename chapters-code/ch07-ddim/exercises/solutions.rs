//! One way to answer.

use ch02_schedule::Schedule;
use ch06_sampling::Denoiser;
use ops::{AutoDevice, Images};

// ANCHOR: solutions
/// The length of the midpoint between two independent samples of noise, as a share of
/// the length of either: halfway along a straight line, only this share is left,
/// whereas a circle keeps the full length.
pub fn length_half_way() -> f64 {
    // The mean of two independent numbers of variance 1 has variance 1/2.
    0.5f64.sqrt()
}

/// The deviation of the noise that a step from t to `prev` adds with eta 1, as in
/// ancestral sampling.
pub fn sigma(schedule: &Schedule, t: usize, prev: usize) -> f64 {
    let (now, then) = (schedule.alpha_bar[t], schedule.alpha_bar[prev]);
    ((1.0 - then) / (1.0 - now) * (1.0 - now / then)).sqrt()
}

/// A step without fresh noise, from x_t at `t` to `prev`, given the predicted noise.
pub fn step(
    schedule: &Schedule,
    t: usize,
    prev: usize,
    x_t: &Images<AutoDevice>,
    eps: &Images<AutoDevice>,
) -> Images<AutoDevice> {
    let (now, then) = (schedule.alpha_bar[t], schedule.alpha_bar[prev]);
    let x0 =
        (x_t.clone() - eps.clone() * (1.0 - now).sqrt() as f32) / now.sqrt() as f32;
    x0 * then.sqrt() as f32 + eps.clone() * (1.0 - then).sqrt() as f32
}
// ANCHOR_END: solutions

// ANCHOR: project
/// One step of Heun's method, from x_t at `t` to `prev`. `eps` predicts the noise in
/// images at a timestep; ask it twice.
pub fn heun(
    schedule: &Schedule,
    t: usize,
    prev: usize,
    x_t: &Images<AutoDevice>,
    eps: &Denoiser<AutoDevice>,
) -> Images<AutoDevice> {
    let here = eps(x_t, t);
    let there = eps(&step(schedule, t, prev, x_t, &here), prev);
    step(schedule, t, prev, x_t, &((here + there) * 0.5))
}
// ANCHOR_END: project
