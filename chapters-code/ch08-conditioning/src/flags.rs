//! Flags that several programs share.

/// Reads a guidance scale.
///
/// # Errors
/// If the text is not a number, or if the number is below 0.
pub fn guidance_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale >= 0.0 => Ok(scale),
        _ => Err("a guidance scale is a number not below 0".into()),
    }
}
