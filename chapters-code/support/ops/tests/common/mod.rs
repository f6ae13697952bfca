//! Naive references in f64, and the comparison with them.
//!
//! Gradients are those of a randomly weighted sum of the outputs: for every element of every
//! input, ours must equal the finite differences of that sum, computed with the naive f64
//! function.

use dfdx::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub type Device = ops::AutoDevice;

pub fn device() -> Device {
    ops::open_device(0).unwrap()
}

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn random(rng: &mut ChaCha8Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.gen_range(-1.0..1.0)).collect()
}

/// `found` must be within `tolerance` of `expected`, relative to the largest expected value.
pub fn assert_close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f as f64 - e).abs() <= tolerance * scale,
            "{what}[{i}]: {f} instead of {e} (largest {scale})"
        );
    }
}

/// The gradient of `loss(inputs) = Σ c · naive(inputs)` with respect to every element, by central
/// differences.
pub fn finite_differences(
    naive: &dyn Fn(&[Vec<f64>]) -> Vec<f64>,
    inputs: &[Vec<f32>],
    c: &[f32],
) -> Vec<Vec<f64>> {
    let inputs: Vec<Vec<f64>> =
        inputs.iter().map(|v| v.iter().map(|&x| x as f64).collect()).collect();
    let loss =
        |inputs: &[Vec<f64>]| naive(inputs).iter().zip(c).map(|(y, &c)| y * c as f64).sum::<f64>();
    let step = 1e-4;
    (0..inputs.len())
        .map(|which| {
            (0..inputs[which].len())
                .map(|i| {
                    let mut moved = inputs.clone();
                    moved[which][i] += step;
                    let up = loss(&moved);
                    moved[which][i] -= 2.0 * step;
                    (up - loss(&moved)) / (2.0 * step)
                })
                .collect()
        })
        .collect()
}

pub fn to_f64(v: &[f32]) -> Vec<f64> {
    v.iter().map(|&x| x as f64).collect()
}

pub fn host<S: Shape, T>(t: &Tensor<S, f32, Device, T>) -> Vec<f32> {
    t.as_vec()
}

pub type Taped<S> = Tensor<S, f32, Device, OwnedTape<f32, Device>>;

/// The gradients of `Σ c · y`.
pub fn backward<S: Shape>(y: Taped<S>, c: &[f32]) -> Gradients<f32, Device> {
    let c = y.device().tensor_from_vec(c.to_vec(), *y.shape());
    (y * c).sum::<Rank0, _>().backward()
}
