//! Chapter 6: sampling. From noise, step by step, to an image.
//!
//! Equation numbers are those of the DDPM paper (Ho et al. 2020).

#[cfg(feature = "program")]
pub mod program;
mod walk;

use std::ops::Range;

use ch02_schedule::Schedule;
use ch03_forward::{Diffusion, PredictionType};
use ch04_unet::model_dir::{Model, VarianceType};
use ch04_unet::UNet;
use dfdx::prelude::*;
use ops::{Images, Replicas, UNetDevice};

pub use walk::{
    all_timesteps, noise_per_image, pairs, sources, walk, Denoiser, Outcome, Solver,
    Step, Walk,
};

// ANCHOR: posterior
/// The mean of q(x_{t-1} | x_t, x0) (DDPM eq. 7).
pub fn posterior_mean<D: UNetDevice>(
    schedule: &Schedule,
    x_t: &Images<D>,
    t: usize,
    x0: &Images<D>,
) -> Images<D> {
    let (of_x0, of_x_t) = schedule.posterior_mean_coefficients(t);
    x0.clone() * of_x0 as f32 + x_t.clone() * of_x_t as f32
}

/// The variance of the noise that a step adds: the posterior variance (`fixed_small`)
/// or βₜ (`fixed_large`); see DDPM, section 3.2. It is 0 at t = 0, where the image is
/// done.
pub fn step_variance(schedule: &Schedule, kind: VarianceType, t: usize) -> f64 {
    match kind {
        _ if t == 0 => 0.0,
        VarianceType::FixedSmall => schedule.posterior_variance(t),
        VarianceType::FixedLarge => schedule.betas[t],
    }
}
// ANCHOR_END: posterior

// ANCHOR: clipped_x0
/// The clean images that the network's output for x_t at t implies, clipped to ± `clip`
/// if that is given.
pub fn clipped_x0<D: UNetDevice>(
    diffusion: &Diffusion,
    clip: Option<f32>,
    x_t: &Images<D>,
    t: usize,
    output: &Images<D>,
) -> Images<D> {
    let x0 = diffusion.x0(x_t, &vec![t; x_t.shape().0], output);
    match clip {
        Some(range) => x0.clamp(-range, range),
        None => x0,
    }
}
// ANCHOR_END: clipped_x0

// ANCHOR: ancestral
/// The solver of the DDPM paper (algorithm 2): one timestep back, with fresh noise.
#[derive(Clone, Debug)]
pub struct Ancestral {
    pub diffusion: Diffusion,
    pub variance_type: VarianceType,
    /// Clip predicted images to ± this, because no real image goes beyond it.
    pub clip: Option<f32>,
}

impl<D: UNetDevice> Solver<D> for Ancestral {
    /// # Panics
    /// If `prev` is not the timestep before `t`.
    fn step(
        &mut self,
        x_t: &Images<D>,
        t: usize,
        prev: Option<usize>,
        denoise: &Denoiser<D>,
        noise: &mut dyn FnMut() -> Images<D>,
    ) -> Outcome<D> {
        assert_eq!(prev, t.checked_sub(1), "this solver visits every timestep");
        let schedule = &self.diffusion.schedule;
        let output = denoise(x_t, t);
        let x0 = clipped_x0(&self.diffusion, self.clip, x_t, t, &output);
        let mean = posterior_mean(schedule, x_t, t, &x0);
        let deviation = step_variance(schedule, self.variance_type, t).sqrt();
        let next = if t > 0 {
            mean + noise() * deviation as f32
        } else {
            mean // the last step adds no noise
        };
        Outcome { x0, next }
    }
}
// ANCHOR_END: ancestral

impl Ancestral {
    /// The solver that a model asks for.
    pub fn for_model<N>(model: &Model<N>) -> Self {
        Self {
            diffusion: model.diffusion.clone(),
            variance_type: model.scheduler.variance_type,
            clip: model.scheduler.clip(),
        }
    }
}

// ANCHOR: sample_images
/// Computes a network's output for x_t at t. Parts of a batch are computed side by
/// side, each with a copy of the network.
pub fn denoiser<D: UNetDevice>(
    device: &D,
    unet: &UNet<D>,
) -> impl Fn(&Images<D>, usize) -> Images<D> {
    let replicas = Replicas::new(device, unet);
    move |x_t, t| {
        replicas
            .answer(x_t, |unet, x_t, images| unet.forward(x_t, &vec![t; images.len()]))
    }
}

/// A model's walk over all timesteps to the images with the given numbers and seed,
/// each of the given shape (channels, height, width). Image number i does not depend on
/// the others.
pub fn ancestral_walk<D: UNetDevice>(
    device: &D,
    model: &Model<UNet<D>>,
    [channels, height, width]: [usize; 3],
    images: Range<u64>,
    seed: u64,
) -> Walk<'static, D> {
    let mut rngs = sources(seed, images);
    let x = noise_per_image(device, (rngs.len(), channels, height, width), &mut rngs);
    let timesteps = all_timesteps(&model.diffusion.schedule);
    let denoise = denoiser(device, &model.network);
    walk(Ancestral::for_model(model), x, &timesteps, rngs, denoise)
}

/// The images at the end of [`ancestral_walk`].
pub fn sample_images<D: UNetDevice>(
    device: &D,
    model: &Model<UNet<D>>,
    shape: [usize; 3],
    images: Range<u64>,
    seed: u64,
) -> Images<D> {
    ancestral_walk(device, model, shape, images, seed).finish()
}
// ANCHOR_END: sample_images

// ANCHOR: gaussian_denoiser
/// The best possible output for data from N(mean, variance), pixel by pixel: the mean
/// of x0 given x_t, in the form that `diffusion` asks for. With it, a solver can be
/// tried without a network, and theory says what must come out.
pub fn gaussian_denoiser<D: UNetDevice>(
    diffusion: &Diffusion,
    mean: f64,
    variance: f64,
    x_t: &Images<D>,
    t: usize,
) -> Images<D> {
    let a = diffusion.schedule.alpha_bar[t];
    let gain = a.sqrt() * variance / (a * variance + 1.0 - a);
    let values = x_t.as_vec().into_iter().map(|x| {
        let x = x as f64;
        let x0 = mean + gain * (x - a.sqrt() * mean);
        let eps = (x - a.sqrt() * x0) / (1.0 - a).sqrt();
        let output = match diffusion.prediction_type {
            PredictionType::Epsilon => eps,
            PredictionType::Sample => x0,
            PredictionType::VPrediction => a.sqrt() * eps - (1.0 - a).sqrt() * x0,
        };
        output as f32
    });
    ops::tensor(x_t.device(), values.collect(), *x_t.shape())
}
// ANCHOR_END: gaussian_denoiser

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch06.md")]
struct Page;
