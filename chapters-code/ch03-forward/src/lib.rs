//! Chapter 3: the forward process, from image to noise.
//!
//! Noise can be added step by step, or all at once: both give the same distribution,
//! and the second makes training possible.

pub use ch01_tensors::Purpose;
use ch02_schedule::Schedule;
use dfdx::prelude::*;
use ops::{Images, UNetDevice};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

// ANCHOR: rng
/// A source of random numbers to try things with, which `seed` and `stream` decide: the
/// same on every machine, and independent for different streams.
pub fn rng(seed: u64, stream: u64) -> ChaCha8Rng {
    Purpose::Other.rng(seed, stream)
}

/// Noise: independent numbers from N(0, 1) in the shape `(batch, channels, height,
/// width)`.
pub fn standard_normal<D: UNetDevice>(
    device: &D,
    shape: (usize, usize, usize, usize),
    rng: &mut impl Rng,
) -> Images<D> {
    let values =
        (0..shape.num_elements()).map(|_| rng.sample(StandardNormal)).collect();
    ops::tensor(device, values, shape)
}
// ANCHOR_END: rng

// ANCHOR: per_image
/// `images` with each image multiplied by its own factor.
pub fn scale_each<D: UNetDevice>(images: &Images<D>, factors: &[f64]) -> Images<D> {
    let factors: Vec<f32> = factors.iter().map(|&f| f as f32).collect();
    let factors = ops::tensor(images.device(), factors, (images.shape().0,));
    images.clone() * factors.broadcast_like::<_, Axes3<1, 2, 3>>(images)
}
// ANCHOR_END: per_image

// ANCHOR: chain
/// One step of the chain (DDPM eq. 2): x_t = √(1 - βₜ) x_{t-1} + √βₜ eps.
pub fn q_step<D: UNetDevice>(
    schedule: &Schedule,
    x: Images<D>,
    t: usize,
    eps: Images<D>,
) -> Images<D> {
    let beta = schedule.betas[t];
    x * (1.0 - beta).sqrt() as f32 + eps * beta.sqrt() as f32
}
// ANCHOR_END: chain

// ANCHOR: q_sample
/// The jump from x0 to x_t (DDPM eq. 4): x_t = √ᾱₜ x0 + √(1 - ᾱₜ) eps, with a timestep
/// for each image.
///
/// # Panics
/// If there is not one timestep per image, or one is beyond the schedule.
pub fn q_sample<D: UNetDevice>(
    schedule: &Schedule,
    x0: &Images<D>,
    timesteps: &[usize],
    eps: &Images<D>,
) -> Images<D> {
    let (signal, noise) = signal_and_noise(schedule, timesteps);
    scale_each(x0, &signal) + scale_each(eps, &noise)
}

/// √ᾱₜ and √(1 - ᾱₜ) for each timestep.
pub fn signal_and_noise(
    schedule: &Schedule,
    timesteps: &[usize],
) -> (Vec<f64>, Vec<f64>) {
    timesteps
        .iter()
        .map(|&t| (schedule.alpha_bar[t].sqrt(), (1.0 - schedule.alpha_bar[t]).sqrt()))
        .unzip()
}
// ANCHOR_END: q_sample

// ANCHOR: prediction_type
/// What the network is asked for, given x_t. From x_t and any one of these the other
/// two follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
#[cfg_attr(feature = "program", value(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise, as in the DDPM paper
    Epsilon,
    /// The clean image
    Sample,
    /// √ᾱₜ eps - √(1 - ᾱₜ) x0 (Salimans & Ho 2022)
    VPrediction,
}
// ANCHOR_END: prediction_type

// ANCHOR: target
/// What the network should have answered.
pub fn target<D: UNetDevice>(
    kind: PredictionType,
    schedule: &Schedule,
    x0: &Images<D>,
    timesteps: &[usize],
    eps: &Images<D>,
) -> Images<D> {
    match kind {
        PredictionType::Epsilon => eps.clone(),
        PredictionType::Sample => x0.clone(),
        PredictionType::VPrediction => {
            let (signal, noise) = signal_and_noise(schedule, timesteps);
            scale_each(eps, &signal) - scale_each(x0, &noise)
        }
    }
}
// ANCHOR_END: target

// ANCHOR: predict_x0
/// The clean image that an answer of the network stands for (DDPM eq. 15 for
/// `Epsilon`).
pub fn predict_x0<D: UNetDevice>(
    kind: PredictionType,
    schedule: &Schedule,
    x_t: &Images<D>,
    timesteps: &[usize],
    answer: &Images<D>,
) -> Images<D> {
    let (signal, noise) = signal_and_noise(schedule, timesteps);
    match kind {
        PredictionType::Epsilon => {
            let inverse: Vec<f64> = signal.iter().map(|s| 1.0 / s).collect();
            scale_each(&(x_t.clone() - scale_each(answer, &noise)), &inverse)
        }
        PredictionType::Sample => answer.clone(),
        PredictionType::VPrediction => {
            scale_each(x_t, &signal) - scale_each(answer, &noise)
        }
    }
}
// ANCHOR_END: predict_x0

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch03.md")]
struct Page;
