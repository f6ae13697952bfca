//! The content of a board that the reader paints on: a digit for each pixel.

use anyhow::Context;

/// Pixels per side.
pub const SIDE: usize = 16;

/// The digits of all pixels, row after row, each below `base`.
pub fn digits(name: &str, text: &str, base: usize) -> anyhow::Result<Vec<usize>> {
    let digit = |c: char| c.to_digit(36).map(|digit| digit as usize).filter(|&digit| digit < base);
    let digits: Option<Vec<usize>> = text.chars().map(digit).collect();
    let count = SIDE * SIDE;
    digits
        .filter(|digits| digits.len() == count)
        .with_context(|| format!("{name}: there must be {count} digits below {base}"))
}
