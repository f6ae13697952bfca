//! The error for a configuration that cannot be built.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// A configuration from which no network can be built: which field, which value, what
/// is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}, but {need}")]
pub struct ConfigError {
    pub field: &'static str,
    pub value: String,
    pub need: String,
}

impl ConfigError {
    /// For a field whose value is not allowed.
    pub fn new(
        field: &'static str,
        value: impl Display,
        need: impl Into<String>,
    ) -> Self {
        Self { field, value: value.to_string(), need: need.into() }
    }

    /// Checks that a size lies in a range.
    ///
    /// # Errors
    /// The error names the field and the range.
    pub fn check_size(
        field: &'static str,
        value: usize,
        range: RangeInclusive<usize>,
    ) -> Result<(), Self> {
        let need = || format!("it must be from {} to {}", range.start(), range.end());
        if range.contains(&value) {
            Ok(())
        } else {
            Err(Self::new(field, value, need()))
        }
    }

    /// Checks a number as it is used, that is, as an f32: it must be finite, and `good` must accept
    /// it.
    ///
    /// # Errors
    /// The error names the field and what it needs.
    pub fn check_number(
        field: &'static str,
        value: f64,
        need: &str,
        good: fn(f32) -> bool,
    ) -> Result<(), Self> {
        let used = value as f32;
        if used.is_finite() && good(used) {
            Ok(())
        } else {
            Err(Self::new(field, format_args!("{value:?}"), need))
        }
    }

    /// Checks that a value is the only one that is supported.
    ///
    /// # Errors
    /// The error names the field, its value and the only one allowed.
    pub fn check_only(
        field: &'static str,
        value: &str,
        allowed: &str,
    ) -> Result<(), Self> {
        if value == allowed {
            return Ok(());
        }
        let need = format!("only \"{allowed}\" is supported");
        Err(Self::new(field, format_args!("\"{value}\""), need))
    }
}
