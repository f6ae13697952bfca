//! What was measured with several seeds.

use std::fmt;

use serde::{Deserialize, Serialize};

// ANCHOR: spread
/// A figure that was measured with several seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    pub mean: f64,
    /// The standard deviation of one measurement; 0 if there is only one.
    pub deviation: f64,
}

impl Spread {
    /// The spread of these measurements.
    ///
    /// # Panics
    /// If there are none.
    pub fn from_values(values: &[f64]) -> Self {
        assert!(!values.is_empty(), "a spread needs values");
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt() }
    }
}
// ANCHOR_END: spread

/// `1.23 ± 0.45`, with as many digits as the formatter asks for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        write!(f, "{:.digits$} ± {:.digits$}", self.mean, self.deviation)
    }
}
