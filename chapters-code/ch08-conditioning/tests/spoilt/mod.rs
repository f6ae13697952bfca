//! Files that are spoilt on purpose; the tests of chapter 9 use them, too.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

/// An error and its causes.
pub fn full(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

/// Changes a value in a JSON file for as long as it takes to load what the file describes; loading
/// must fail.
pub fn spoilt(
    path: &Path,
    place: &str,
    value: &Value,
    load: impl Fn() -> Option<String>,
) -> String {
    let good = fs::read(path).unwrap();
    let mut bad: Value = serde_json::from_slice(&good).unwrap();
    *bad.pointer_mut(place).unwrap() = value.clone();
    fs::write(path, bad.to_string()).unwrap();
    let start = Instant::now();
    let error = load().unwrap_or_else(|| panic!("{place} = {value} must be rejected"));
    assert!(
        start.elapsed().as_secs_f64() < 1.0,
        "{error}: after {:?}",
        start.elapsed()
    );
    assert!(!error.contains('\n'), "{error}");
    fs::write(path, good).unwrap();
    error
}
