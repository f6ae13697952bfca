//! Which timesteps to visit.

use serde::{Deserialize, Serialize};

// ANCHOR: spacing
/// How the visited timesteps are spread over the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum TimestepSpacing {
    /// Every k-th from 0 on. If k > 1, the noisiest is not among them.
    Leading,
    /// Every k-th, counting back from the noisiest. If k > 1, 0 is not among them.
    Trailing,
    /// From the noisiest to 0, both included.
    Linspace,
    /// Denser where there is little noise (DDIM, appendix D.2), and ending four fifths
    /// of the way up (as in the paper's published code).
    Quad,
}
// ANCHOR_END: spacing

impl TimestepSpacing {
    // ANCHOR: timesteps
    /// The timesteps to visit out of `len` in `steps` steps, the noisiest first.
    /// `offset` is added only with `Leading`: some published models expect 1, 21, 41, …
    /// in place of 0, 20, 40, …
    ///
    /// # Panics
    /// If there are no steps, if there are more steps than timesteps, or if the offset
    /// leads beyond the last timestep.
    pub fn timesteps(self, len: usize, steps: usize, offset: usize) -> Vec<usize> {
        assert!((1..=len).contains(&steps), "{steps} steps of {len} timesteps");
        let (t, n) = (len as f64, steps as f64);
        // Halves are rounded to even, as in NumPy.
        let mut upwards: Vec<usize> = match self {
            Self::Leading => (0..steps).map(|i| i * (len / steps) + offset).collect(),
            Self::Trailing => (0..steps)
                .rev()
                .map(|i| (t - i as f64 * t / n).round_ties_even() as usize - 1)
                .collect(),
            Self::Linspace if steps == 1 => vec![len - 1],
            Self::Linspace => (0..steps)
                .map(|i| {
                    (i as f64 * ((t - 1.0) / (n - 1.0))).round_ties_even() as usize
                })
                .collect(),
            Self::Quad => quadratic(len, steps),
        };
        assert!(
            *upwards.last().expect("at least one") < len,
            "timestep {} of {len}",
            upwards[steps - 1]
        );
        upwards.reverse();
        upwards
    }
    // ANCHOR_END: timesteps
}

// ANCHOR: quadratic
/// The squares of evenly spaced numbers, moved up where two would fall on the same
/// timestep.
fn quadratic(len: usize, steps: usize) -> Vec<usize> {
    let end = (0.8 * len as f64).sqrt();
    let square =
        |i: usize| (i as f64 * end / (steps.max(2) - 1) as f64).powi(2) as usize;
    let mut visited: Vec<usize> = Vec::with_capacity(steps);
    for i in 0..steps {
        let free = visited.last().map_or(0, |&last| last + 1);
        visited.push(square(i).max(free));
    }
    visited
}
// ANCHOR_END: quadratic
