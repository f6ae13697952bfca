//! One way to answer.

use ch02_schedule::Schedule;
use ops::{AutoDevice, Images};

// ANCHOR: solutions
/// The timestep at which an image with values of this deviation and the noise in it
/// have the same deviation, or the first after it.
pub fn drowned(schedule: &Schedule, deviation: f64) -> usize {
    // √ᾱ · deviation against √(1 - ᾱ).
    let noise_wins = |&t: &usize| {
        schedule.alpha_bar[t] * deviation * deviation <= 1.0 - schedule.alpha_bar[t]
    };
    (0..schedule.len()).find(noise_wins).expect("noise wins in the end")
}

/// The noise that made `x_t` out of `x0` at timestep `t`.
pub fn noise_in(
    schedule: &Schedule,
    x0: &Images<AutoDevice>,
    x_t: &Images<AutoDevice>,
    t: usize,
) -> Images<AutoDevice> {
    let alpha_bar = schedule.alpha_bar[t];
    (x_t.clone() - x0.clone() * alpha_bar.sqrt() as f32)
        / (1.0 - alpha_bar).sqrt() as f32
}

/// From x_s to x_t in one jump, for s < t, with noise `eps`.
pub fn jump_on(
    schedule: &Schedule,
    x_s: &Images<AutoDevice>,
    s: usize,
    t: usize,
    eps: &Images<AutoDevice>,
) -> Images<AutoDevice> {
    // The steps between keep the product of their alphas: what is kept up to t, but not
    // yet lost at s.
    let kept = schedule.alpha_bar[t] / schedule.alpha_bar[s];
    x_s.clone() * kept.sqrt() as f32 + eps.clone() * (1.0 - kept).sqrt() as f32
}
// ANCHOR_END: solutions
