//! Chapter 7: DDIM. The same network, but dozens of steps instead of a thousand, and a
//! way back from image to noise.
//!
//! Equation numbers are those of the DDIM paper (Song et al. 2021, "Denoising Diffusion
//! Implicit Models"), except where another is named.

mod dpm;
#[cfg(feature = "program")]
pub mod flags;
mod spacing;

use ch02_schedule::Schedule;
use ch03_forward::PredictionType;
use ch04_unet::model_dir::Model;
use ch06_sampling::{noise_per_image, x0_prediction, Sampler};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};
use rand::Rng;

pub use dpm::DpmSolver;
pub use spacing::TimestepSpacing;

// ANCHOR: predictions
/// The noise that the network's answer stands for: the other half of x_t beside
/// [`ch03_forward::predict_x0`].
pub fn predict_eps<D: UNetDevice>(
    kind: PredictionType,
    schedule: &Schedule,
    x_t: &Images<D>,
    t: usize,
    answer: &Images<D>,
) -> Images<D> {
    let alpha_bar = schedule.alpha_bar[t];
    let (signal, noise) = (alpha_bar.sqrt() as f32, (1.0 - alpha_bar).sqrt() as f32);
    match kind {
        PredictionType::Epsilon => answer.clone(),
        PredictionType::Sample => (x_t.clone() - answer.clone() * signal) / noise,
        PredictionType::VPrediction => answer.clone() * signal + x_t.clone() * noise,
    }
}

/// ᾱ at a timestep; 1 where there is no noise any more.
pub fn alpha_bar(schedule: &Schedule, t: Option<usize>) -> f64 {
    t.map_or(1.0, |t| schedule.alpha_bar[t])
}
// ANCHOR_END: predictions

// ANCHOR: ddim
/// How to walk from noise to image over any subsequence of the timesteps.
#[derive(Clone, Debug)]
pub struct Ddim<'a> {
    pub schedule: &'a Schedule,
    pub prediction_type: PredictionType,
    /// Cut predicted images off at ± this.
    pub clip: Option<f32>,
    /// Where a predicted image was cut off, take the noise to be what is left of x_t
    /// beside it, so that the two still make x_t together. Without, the noise is what
    /// the network says (named as in diffusers, where that is the default).
    pub use_clipped_model_output: bool,
    /// How much fresh noise a step adds: 0 none at all, 1 as much as ancestral
    /// sampling.
    pub eta: f64,
}

impl<'a> Ddim<'a> {
    /// A sampler in which image and noise always make x_t together.
    pub fn new(
        schedule: &'a Schedule,
        prediction_type: PredictionType,
        clip: Option<f32>,
        eta: f64,
    ) -> Self {
        Self { schedule, prediction_type, clip, use_clipped_model_output: true, eta }
    }
}
// ANCHOR_END: ddim

impl<'a> Ddim<'a> {
    // ANCHOR: sigma
    /// The deviation of the noise that the step from t to `prev` adds (DDIM eq. 16).
    pub fn sigma(&self, t: usize, prev: Option<usize>) -> f64 {
        let (now, then) = (self.schedule.alpha_bar[t], alpha_bar(self.schedule, prev));
        self.eta * ((1.0 - then) / (1.0 - now)).sqrt() * (1.0 - now / then).sqrt()
    }
    // ANCHOR_END: sigma

    // ANCHOR: step
    /// One step, from x_t to x_prev (DDIM eq. 12); `prev` is `None` for the last one,
    /// which ends at the clean image.
    pub fn step<D: UNetDevice>(
        &self,
        t: usize,
        prev: Option<usize>,
        x_t: &Images<D>,
        answer: &Images<D>,
        noise: Option<&Images<D>>,
    ) -> Images<D> {
        let (then, sigma) = (alpha_bar(self.schedule, prev), self.sigma(t, prev));
        let x0 = self.x0_prediction(t, x_t, answer);
        let eps = match self.use_clipped_model_output {
            true => predict_eps(PredictionType::Sample, self.schedule, x_t, t, &x0),
            false => predict_eps(self.prediction_type, self.schedule, x_t, t, answer),
        };
        // What is left of the variance goes to the noise that is there; a rounding
        // error must not make the root imaginary.
        let direction = (1.0 - then - sigma * sigma).max(0.0).sqrt();
        let x = x0 * then.sqrt() as f32 + eps * direction as f32;
        match noise {
            Some(noise) if sigma > 0.0 => x + noise.clone() * sigma as f32,
            _ => x,
        }
    }
    // ANCHOR_END: step

    // ANCHOR: sample
    /// All steps, from `x`, which is noise, over `timesteps`, the noisiest first, to an
    /// image. `denoise` answers for x_t at t.
    pub fn sample<D: UNetDevice>(
        &self,
        mut x: Images<D>,
        timesteps: &[usize],
        rngs: &mut [impl Rng],
        denoise: impl Fn(&Images<D>, usize) -> Images<D>,
    ) -> Images<D> {
        for (t, prev) in pairs(timesteps) {
            let answer = denoise(&x, t);
            let noise =
                (self.eta > 0.0).then(|| noise_per_image(x.device(), *x.shape(), rngs));
            x = self.step(t, prev, &x, &answer, noise.as_ref());
        }
        x
    }
    // ANCHOR_END: sample

    /// The clean image that the network's answer stands for, cut off if asked for.
    pub fn x0_prediction<D: UNetDevice>(
        &self,
        t: usize,
        x_t: &Images<D>,
        answer: &Images<D>,
    ) -> Images<D> {
        x0_prediction(self.schedule, self.prediction_type, self.clip, t, x_t, answer)
    }

    /// The sampler that a model asks for.
    pub fn of<D: UNetDevice>(model: &'a Model<D>, eta: f64) -> Self {
        let Sampler { schedule, prediction_type, clip, .. } = Sampler::of(model);
        Self::new(schedule, prediction_type, clip, eta)
    }

    // ANCHOR: inversion
    /// The way back, from an image to the noise that [`Ddim::sample`] with eta 0 would
    /// make it from. Exact in the limit of many steps: a step assumes that the network
    /// would have answered the same one timestep earlier (DDIM, section 4.3).
    pub fn invert<D: UNetDevice>(
        &self,
        image: Images<D>,
        timesteps: &[usize],
        denoise: impl Fn(&Images<D>, usize) -> Images<D>,
    ) -> Images<D> {
        let mut x = image;
        let upwards: Vec<_> = pairs(timesteps).collect();
        for (t, prev) in upwards.into_iter().rev() {
            let (now, then) =
                (self.schedule.alpha_bar[t], alpha_bar(self.schedule, prev));
            // x fades as far as it has at t, and noise comes to it along the direction
            // that the network sees.
            let faded = x.clone() * (now / then).sqrt() as f32;
            let answer = denoise(&x, t);
            let eps = predict_eps(self.prediction_type, self.schedule, &x, t, &answer);
            let step = (1.0 - now).sqrt() - (now / then * (1.0 - then)).sqrt();
            x = faded + eps * step as f32;
        }
        x
    }
    // ANCHOR_END: inversion
}

/// How like two batches of images in [-1, 1] are, in decibels: the peak signal-to-noise
/// ratio, 10 log₁₀(2² / mean square of the difference).
pub fn psnr<D: UNetDevice>(a: &Images<D>, b: &Images<D>) -> f64 {
    let (a, b) = (a.as_vec(), b.as_vec());
    let squares: f64 =
        a.iter().zip(&b).map(|(&a, &b)| (a as f64 - b as f64).powi(2)).sum();
    10.0 * (4.0 * a.len() as f64 / squares).log10()
}

/// Every timestep with the one that follows it; after the last comes the clean image.
pub fn pairs(timesteps: &[usize]) -> impl Iterator<Item = (usize, Option<usize>)> + '_ {
    let next = timesteps.iter().skip(1).copied().map(Some).chain([None]);
    timesteps.iter().copied().zip(next)
}

// ANCHOR: slerp
/// A point on the way from `a` (at `u` = 0) to `b` (at 1) that stays as long as noise
/// is: a straight line between two samples of noise passes through points that are too
/// short. Along the great circle through both (Shoemake 1985), for each image.
///
/// # Panics
/// If the shapes differ.
pub fn slerp<D: UNetDevice>(a: &Images<D>, b: &Images<D>, u: f64) -> Images<D> {
    assert_eq!(a.shape(), b.shape(), "slerp: two batches of one shape");
    let shape = *a.shape();
    let size = shape.1 * shape.2 * shape.3;
    let mut values = Vec::with_capacity(shape.0 * size);
    for (a, b) in a.as_vec().chunks(size).zip(b.as_vec().chunks(size)) {
        let dot = |x: &[f32], y: &[f32]| {
            x.iter().zip(y).map(|(&x, &y)| x as f64 * y as f64).sum::<f64>()
        };
        let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let angle = cosine.clamp(-1.0, 1.0).acos();
        // Nearly the same direction: a line is as good, and does not divide by zero.
        let (of_a, of_b) = if angle.sin() < 1e-6 {
            (1.0 - u, u)
        } else {
            (((1.0 - u) * angle).sin() / angle.sin(), (u * angle).sin() / angle.sin())
        };
        values.extend(
            a.iter().zip(b).map(|(&a, &b)| (of_a * a as f64 + of_b * b as f64) as f32),
        );
    }
    ops::tensor(a.device(), values, shape)
}
// ANCHOR_END: slerp

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch07.md")]
struct Page;
