//! One way to answer.

use ch02_schedule::Schedule;

// ANCHOR: solutions
/// The first timestep at which the signal-to-noise ratio is at most 1.
pub fn half_way(schedule: &Schedule) -> usize {
    // The ratio falls from step to step, so we look for the first step where it is at
    // most 1.
    (0..schedule.len())
        .find(|&t| schedule.snr(t) <= 1.0)
        .expect("the noise wins in the end")
}

/// The betas of the schedule that has this `alpha_bar`.
pub fn betas_from_alpha_bar(alpha_bar: &[f64]) -> Vec<f64> {
    // A product, divided by the product without its last factor, is that factor.
    let before = std::iter::once(&1.0).chain(alpha_bar);
    alpha_bar.iter().zip(before).map(|(now, before)| 1.0 - now / before).collect()
}

/// The schedule that visits only the timesteps k - 1, 2k - 1, 3k - 1 and so on, with
/// the same `alpha_bar` at each.
pub fn strided(schedule: &Schedule, k: usize) -> Schedule {
    let visited: Vec<f64> =
        schedule.alpha_bar.iter().skip(k - 1).step_by(k).copied().collect();
    Schedule::from_betas(betas_from_alpha_bar(&visited))
}
// ANCHOR_END: solutions

// ANCHOR: project
/// The schedule of `len` timesteps in which the natural logarithm of the
/// signal-to-noise ratio falls in a straight line, from `first` at timestep 0 to `last`
/// at the last one.
pub fn straight(len: usize, first: f64, last: f64) -> Schedule {
    let alpha_bar = |t: usize| {
        let log_snr = first + (last - first) * t as f64 / (len - 1) as f64;
        // The ratio is ᾱ / (1 - ᾱ).
        1.0 / (1.0 + (-log_snr).exp())
    };
    let alpha_bar: Vec<f64> = (0..len).map(alpha_bar).collect();
    Schedule::from_betas(betas_from_alpha_bar(&alpha_bar))
}
// ANCHOR_END: project
