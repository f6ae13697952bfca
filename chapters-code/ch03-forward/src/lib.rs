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
/// A source of random numbers for trying things out, determined by `seed` and `stream`:
/// the same on every machine, and independent for different streams.
pub fn rng(seed: u64, stream: u64) -> ChaCha8Rng {
    Purpose::Other.rng(seed, stream)
}

/// Independent numbers from N(0, 1), without end.
pub fn gaussian<'a>(rng: &'a mut impl Rng) -> impl Iterator<Item = f32> + 'a {
    rng.sample_iter(StandardNormal)
}

/// Noise: independent numbers from N(0, 1) in the shape `(batch, channels, height,
/// width)`.
pub fn standard_normal<D: UNetDevice>(
    device: &D,
    shape: (usize, usize, usize, usize),
    rng: &mut impl Rng,
) -> Images<D> {
    let values = gaussian(rng).take(shape.num_elements()).collect();
    ops::tensor(device, values, shape)
}
// ANCHOR_END: rng

// ANCHOR: prediction_type
/// What the network predicts, given x_t. x_t and any one of these determine the other
/// two.
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

// ANCHOR: diffusion
/// A forward process, and the quantity predicted by the network that reverses it.
///
/// Images and noise are `(batch, channels, height, width)`. `timesteps` holds one
/// timestep per image; each method panics if it does not, or if a timestep is not below
/// `schedule.len()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Diffusion {
    pub schedule: Schedule,
    pub prediction_type: PredictionType,
}
// ANCHOR_END: diffusion

impl Diffusion {
    // ANCHOR: chain
    /// One step of the chain (DDPM eq. 2), for all images:
    /// x_t = √(1 - βₜ) x_{t-1} + √βₜ eps.
    pub fn q_step<D: UNetDevice>(
        &self,
        x: &Images<D>,
        t: usize,
        eps: &Images<D>,
    ) -> Images<D> {
        let beta = self.schedule.betas[t];
        x.clone() * (1.0 - beta).sqrt() as f32 + eps.clone() * beta.sqrt() as f32
    }
    // ANCHOR_END: chain

    // ANCHOR: q_sample
    /// The jump from x0 to x_t (DDPM eq. 4): x_t = √ᾱₜ x0 + √(1 - ᾱₜ) eps.
    pub fn q_sample<D: UNetDevice>(
        &self,
        x0: &Images<D>,
        timesteps: &[usize],
        eps: &Images<D>,
    ) -> Images<D> {
        let (signal, noise) = self.signal_and_noise(timesteps);
        scale_each(x0, &signal) + scale_each(eps, &noise)
    }

    /// √ᾱₜ and √(1 - ᾱₜ) for each timestep.
    pub fn signal_and_noise(&self, timesteps: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let alpha_bar = timesteps.iter().map(|&t| self.schedule.alpha_bar[t]);
        alpha_bar.map(|a| (a.sqrt(), (1.0 - a).sqrt())).unzip()
    }
    // ANCHOR_END: q_sample

    // ANCHOR: target
    /// What the network should predict.
    pub fn target<D: UNetDevice>(
        &self,
        x0: &Images<D>,
        timesteps: &[usize],
        eps: &Images<D>,
    ) -> Images<D> {
        match self.prediction_type {
            PredictionType::Epsilon => eps.clone(),
            PredictionType::Sample => x0.clone(),
            PredictionType::VPrediction => {
                let (signal, noise) = self.signal_and_noise(timesteps);
                scale_each(eps, &signal) - scale_each(x0, &noise)
            }
        }
    }
    // ANCHOR_END: target

    // ANCHOR: x0
    /// The clean image that the network's output implies (DDPM eq. 15 for `Epsilon`).
    pub fn x0<D: UNetDevice>(
        &self,
        x_t: &Images<D>,
        timesteps: &[usize],
        output: &Images<D>,
    ) -> Images<D> {
        let (signal, noise) = self.signal_and_noise(timesteps);
        match self.prediction_type {
            PredictionType::Epsilon => {
                let inverse: Vec<f64> = signal.iter().map(|s| 1.0 / s).collect();
                scale_each(&(x_t.clone() - scale_each(output, &noise)), &inverse)
            }
            PredictionType::Sample => output.clone(),
            PredictionType::VPrediction => {
                scale_each(x_t, &signal) - scale_each(output, &noise)
            }
        }
    }
    // ANCHOR_END: x0

    // ANCHOR: eps
    /// The noise that the network's output implies: together with [`Diffusion::x0`] it
    /// makes x_t.
    pub fn eps<D: UNetDevice>(
        &self,
        x_t: &Images<D>,
        timesteps: &[usize],
        output: &Images<D>,
    ) -> Images<D> {
        match self.prediction_type {
            PredictionType::Epsilon => output.clone(),
            PredictionType::Sample => self.eps_given_x0(x_t, timesteps, output),
            PredictionType::VPrediction => {
                let (signal, noise) = self.signal_and_noise(timesteps);
                scale_each(output, &signal) + scale_each(x_t, &noise)
            }
        }
    }

    /// The noise in x_t if `x0` is the clean image.
    pub fn eps_given_x0<D: UNetDevice>(
        &self,
        x_t: &Images<D>,
        timesteps: &[usize],
        x0: &Images<D>,
    ) -> Images<D> {
        let (signal, noise) = self.signal_and_noise(timesteps);
        (x_t.clone() - scale_each(x0, &signal)) / per_image(x_t, &noise)
    }
    // ANCHOR_END: eps
}

// ANCHOR: per_image
/// One factor per image, repeated for each of its channels and pixels, in the shape of
/// `images`.
pub fn per_image<D: UNetDevice>(images: &Images<D>, factors: &[f64]) -> Images<D> {
    let factors: Vec<f32> = factors.iter().map(|&f| f as f32).collect();
    let factors = ops::tensor(images.device(), factors, (images.shape().0,));
    factors.broadcast_like::<_, Axes3<1, 2, 3>>(images)
}

/// `images` with each image multiplied by its own factor.
pub fn scale_each<D: UNetDevice>(images: &Images<D>, factors: &[f64]) -> Images<D> {
    images.clone() * per_image(images, factors)
}
// ANCHOR_END: per_image

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch03.md")]
struct Page;
