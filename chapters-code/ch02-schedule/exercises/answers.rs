//! Your answers. `cargo test -p ch02-schedule --test exercises` says whether they are
//! right.
#![allow(unused_variables)]

use ch02_schedule::Schedule;

/// The first timestep at which the signal-to-noise ratio is at most 1.
pub fn half_way(schedule: &Schedule) -> usize {
    todo!()
}

/// The betas of the schedule that has this `alpha_bar`.
pub fn betas_from_alpha_bar(alpha_bar: &[f64]) -> Vec<f64> {
    todo!()
}

/// The schedule that visits only the timesteps k - 1, 2k - 1, 3k - 1 and so on, with the same
/// `alpha_bar` at each.
pub fn strided(schedule: &Schedule, k: usize) -> Schedule {
    todo!()
}

/// The schedule of `len` timesteps in which the natural logarithm of the
/// signal-to-noise ratio falls in a straight line, from `first` at timestep 0 to `last`
/// at the last one.
pub fn straight(len: usize, first: f64, last: f64) -> Schedule {
    todo!()
}
