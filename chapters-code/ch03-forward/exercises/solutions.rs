//! One way to answer.

use ch02_schedule::Schedule;
use ops::{AutoDevice, Images};

// ANCHOR: solutions
/// For an image whose values have this standard deviation: the first timestep at which
/// the standard deviation of the noise is no smaller than that of the remaining image.
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
    // The share that the steps in between keep is the product of their alphas: what is
    // kept up to t, divided by what is kept up to s.
    let kept = schedule.alpha_bar[t] / schedule.alpha_bar[s];
    x_s.clone() * kept.sqrt() as f32 + eps.clone() * (1.0 - kept).sqrt() as f32
}
// ANCHOR_END: solutions

// ANCHOR: project
/// For each candidate, the probability that it is the clean image of `x_t` at
/// timestep `t`, if all were equally probable beforehand. These add up to 1.
pub fn posterior(
    schedule: &Schedule,
    t: usize,
    x_t: &[f32],
    candidates: &[Vec<f32>],
) -> Vec<f64> {
    let alpha_bar = schedule.alpha_bar[t];
    // The logarithm of N(x_t; √ᾱ x0, 1 - ᾱ), without the terms that all candidates
    // share.
    let log = |x0: &Vec<f32>| {
        let difference =
            |(x, x0): (&f32, &f32)| (*x as f64 - alpha_bar.sqrt() * *x0 as f64).powi(2);
        let squares: f64 = x_t.iter().zip(x0).map(difference).sum();
        -squares / (2.0 * (1.0 - alpha_bar))
    };
    let logs: Vec<f64> = candidates.iter().map(log).collect();
    // All the logarithms may be too small for `exp`; with the largest subtracted from
    // each, at least one weight is 1.
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}
// ANCHOR_END: project
