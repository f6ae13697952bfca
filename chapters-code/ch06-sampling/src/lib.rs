//! Chapter 6: sampling. From noise, step by step, to an image.
//!
//! Equation numbers are those of the DDPM paper (Ho et al. 2020).

#[cfg(feature = "program")]
pub mod program;

use std::ops::Range;

use ch02_schedule::Schedule;
use ch03_forward::{predict_x0, standard_normal, PredictionType, Purpose};
use ch04_unet::model_dir::{Model, VarianceType};
use ch04_unet::UNet;
use dfdx::prelude::*;
use ops::{Images, Replicas, UNetDevice};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

// ANCHOR: posterior
/// The mean of q(x_{t-1} | x_t, x0) (DDPM eq. 7).
pub fn posterior_mean<D: UNetDevice>(
    schedule: &Schedule,
    t: usize,
    x0: &Images<D>,
    x_t: &Images<D>,
) -> Images<D> {
    let (of_x0, of_x_t) = schedule.posterior_mean_coefficients(t);
    x0.clone() * of_x0 as f32 + x_t.clone() * of_x_t as f32
}

/// The variance of the noise that a step adds: β̃ₜ (`fixed_small`) or βₜ
/// (`fixed_large`), see DDPM, section 3.2. None at t = 0, where the image is done.
pub fn step_variance(schedule: &Schedule, kind: VarianceType, t: usize) -> f64 {
    match kind {
        _ if t == 0 => 0.0,
        VarianceType::FixedSmall => schedule.posterior_variance(t),
        VarianceType::FixedLarge => schedule.betas[t],
    }
}
// ANCHOR_END: posterior

// ANCHOR: x0_prediction
/// The clean image that the network's answer stands for, cut off at ± `clip` if there
/// is one.
pub fn x0_prediction<D: UNetDevice>(
    schedule: &Schedule,
    kind: PredictionType,
    clip: Option<f32>,
    t: usize,
    x_t: &Images<D>,
    answer: &Images<D>,
) -> Images<D> {
    let x0 = predict_x0(kind, schedule, x_t, &vec![t; x_t.shape().0], answer);
    match clip {
        Some(range) => x0.clamp(-range, range),
        None => x0,
    }
}
// ANCHOR_END: x0_prediction

// ANCHOR: sampler
/// How to walk from noise to image.
#[derive(Clone, Debug)]
pub struct Sampler<'a> {
    pub schedule: &'a Schedule,
    pub prediction_type: PredictionType,
    pub variance_type: VarianceType,
    /// Cut predicted images off at ± this, as no real image goes beyond.
    pub clip: Option<f32>,
}
// ANCHOR_END: sampler

impl<'a> Sampler<'a> {
    // ANCHOR: p_sample
    /// The clean image that the network's answer stands for, cut off if asked for.
    pub fn x0_prediction<D: UNetDevice>(
        &self,
        t: usize,
        x_t: &Images<D>,
        answer: &Images<D>,
    ) -> Images<D> {
        x0_prediction(self.schedule, self.prediction_type, self.clip, t, x_t, answer)
    }

    /// One step back (DDPM algorithm 2): from x_t to x_{t-1}. `noise` is ignored at t =
    /// 0.
    pub fn p_sample<D: UNetDevice>(
        &self,
        t: usize,
        x_t: &Images<D>,
        answer: &Images<D>,
        noise: &Images<D>,
    ) -> Images<D> {
        let x0 = self.x0_prediction(t, x_t, answer);
        let mean = posterior_mean(self.schedule, t, &x0, x_t);
        if t == 0 {
            return mean; // the last step adds no noise
        }
        let deviation = step_variance(self.schedule, self.variance_type, t).sqrt();
        mean + noise.clone() * deviation as f32
    }
    // ANCHOR_END: p_sample

    // ANCHOR: sample
    /// All steps (DDPM algorithm 2), from `x`, which is noise, at the last timestep to
    /// an image. `denoise` answers for x_t at t; `watch` sees every step: t, the
    /// prediction of x0, and x_{t-1}.
    pub fn sample<D: UNetDevice>(
        &self,
        mut x: Images<D>,
        rngs: &mut [impl Rng],
        denoise: impl Fn(&Images<D>, usize) -> Images<D>,
        mut watch: impl FnMut(usize, &dyn Fn() -> Images<D>, &Images<D>),
    ) -> Images<D> {
        for t in (0..self.schedule.len()).rev() {
            let answer = denoise(&x, t);
            let noise = noise_per_image(x.device(), *x.shape(), rngs);
            let next = self.p_sample(t, &x, &answer, &noise);
            watch(t, &|| self.x0_prediction(t, &x, &answer), &next);
            x = next;
        }
        x
    }
    // ANCHOR_END: sample

    /// The sampler that a model asks for.
    pub fn of<D: UNetDevice>(model: &'a Model<D>) -> Self {
        Self {
            schedule: &model.schedule,
            prediction_type: model.scheduler.prediction_type,
            variance_type: model.scheduler.variance_type,
            clip: model.scheduler.clip(),
        }
    }
}

// ANCHOR: noise_per_image
/// Noise in which every image has a random source of its own, so that an image does not
/// depend on how many others are drawn beside it.
///
/// # Panics
/// If there is not one source per image.
pub fn noise_per_image<D: UNetDevice>(
    device: &D,
    shape: (usize, usize, usize, usize),
    rngs: &mut [impl Rng],
) -> Images<D> {
    let (batch, channels, height, width) = shape;
    assert_eq!(rngs.len(), batch, "one random source per image");
    let image =
        |rng| standard_normal(device, (1, channels, height, width), rng).as_vec();
    let values: Vec<f32> = rngs.iter_mut().flat_map(image).collect();
    ops::tensor(device, values, shape)
}

/// The random sources of some images of a seed.
pub fn sources(seed: u64, images: Range<u64>) -> Vec<ChaCha8Rng> {
    images.map(|image| Purpose::Sampling.rng(seed, image)).collect()
}
// ANCHOR_END: noise_per_image

// ANCHOR: sample_images
/// Asks a copy of the network about x_t at t. Parts of a batch are answered side by
/// side.
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

/// Draws images with a model. Image number i of a seed is the same whatever the number
/// of images.
pub fn sample_images<D: UNetDevice>(
    device: &D,
    model: &Model<D>,
    shape: [usize; 3],
    first: u64,
    count: usize,
    seed: u64,
    watch: impl FnMut(usize, &dyn Fn() -> Images<D>, &Images<D>),
) -> Images<D> {
    let mut rngs = sources(seed, first..first + count as u64);
    let [channels, height, width] = shape;
    let x = noise_per_image(device, (count, channels, height, width), &mut rngs);
    Sampler::of(model).sample(x, &mut rngs, denoiser(device, &model.unet), watch)
}
// ANCHOR_END: sample_images

// ANCHOR: gaussian_denoiser
/// The best possible answer for data from N(mean, variance), pixel by pixel: the mean
/// of x0 given x_t, in the form that `kind` asks for. With it a sampler can be tried
/// without a network, and theory says what must come out.
pub fn gaussian_denoiser<D: UNetDevice>(
    schedule: &Schedule,
    kind: PredictionType,
    mean: f64,
    variance: f64,
    x_t: &Images<D>,
    t: usize,
) -> Images<D> {
    let a = schedule.alpha_bar[t];
    let gain = a.sqrt() * variance / (a * variance + 1.0 - a);
    let values = x_t.as_vec().into_iter().map(|x| {
        let x = x as f64;
        let x0 = mean + gain * (x - a.sqrt() * mean);
        let eps = (x - a.sqrt() * x0) / (1.0 - a).sqrt();
        let answer = match kind {
            PredictionType::Epsilon => eps,
            PredictionType::Sample => x0,
            PredictionType::VPrediction => a.sqrt() * eps - (1.0 - a).sqrt() * x0,
        };
        answer as f32
    });
    ops::tensor(x_t.device(), values.collect(), *x_t.shape())
}
// ANCHOR_END: gaussian_denoiser

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch06.md")]
struct Page;
