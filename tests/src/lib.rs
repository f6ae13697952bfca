//! Checks on the whole book: golden values from diffusers, and the programs as a reader runs them.

pub mod book;
pub mod forms;
pub mod imports;
pub mod programs;
pub mod tree;

use std::path::Path;

use dfdx::prelude::*;
use ops::{AutoDevice, Images};
use serde_json::Value;

/// A file of golden values.
pub fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// The contents of a JSON file of golden values.
pub fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

/// A JSON value as a Rust value.
pub fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// A safetensors file of golden values.
pub struct Fixture(Vec<u8>);

impl Fixture {
    /// Reads a file.
    pub fn read(name: &str) -> Self {
        Self(std::fs::read(path(name)).unwrap())
    }

    /// A batch of images in it.
    pub fn images(&self, device: &AutoDevice, name: &str) -> Images<AutoDevice> {
        let file = safetensors::SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("no tensor {name}"));
        let values = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let s = view.shape();
        device.tensor_from_vec(values, (s[0], s[1], s[2], s[3]))
    }
}

/// Asserts that `found` equals `expected` to within `tolerance`, relative to the largest expected
/// value.
pub fn assert_close(
    what: &str,
    found: &Images<AutoDevice>,
    expected: &Images<AutoDevice>,
    tolerance: f32,
) {
    let (found, expected) = (found.as_vec(), expected.as_vec());
    let scale = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (f, e) in found.iter().zip(&expected) {
        assert!((f - e).abs() <= tolerance * scale, "{what}: {f} instead of {e} (largest {scale})");
    }
}
