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
use ch03_forward::Diffusion;
use ch04_unet::model_dir::Model;
use ch06_sampling::{clipped_x0, pairs, Denoiser, Outcome, Solver};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};

pub use dpm::DpmSolver;
pub use spacing::TimestepSpacing;

// ANCHOR: alpha_bar
/// ᾱ at a timestep; 1 where no noise is left.
pub fn alpha_bar(schedule: &Schedule, t: Option<usize>) -> f64 {
    t.map_or(1.0, |t| schedule.alpha_bar[t])
}
// ANCHOR_END: alpha_bar

// ANCHOR: ddim
/// The solver of the DDIM paper, which walks over any subsequence of the timesteps.
#[derive(Clone, Debug)]
pub struct Ddim {
    pub diffusion: Diffusion,
    /// Clip predicted images to ± this.
    pub clip: Option<f32>,
    /// Where a predicted image is clipped, take the noise to be what is left of x_t
    /// when that image is taken out, so that the two together still make x_t. If false
    /// (the default in diffusers, from which the name is taken), the noise is what the
    /// network predicts.
    pub use_clipped_model_output: bool,
    /// How much fresh noise a step adds: 0 means none at all, 1 as much as ancestral
    /// sampling.
    pub eta: f64,
}

impl Ddim {
    /// A solver in which image and noise together always make x_t.
    pub fn new(diffusion: Diffusion, clip: Option<f32>, eta: f64) -> Self {
        Self { diffusion, clip, use_clipped_model_output: true, eta }
    }
}
// ANCHOR_END: ddim

impl Ddim {
    /// The solver that a model asks for.
    pub fn for_model<N>(model: &Model<N>, eta: f64) -> Self {
        Self::new(model.diffusion.clone(), model.scheduler.clip(), eta)
    }

    // ANCHOR: sigma
    /// The deviation of the noise that the step from t to `prev` adds (DDIM eq. 16).
    pub fn sigma(&self, t: usize, prev: Option<usize>) -> f64 {
        let schedule = &self.diffusion.schedule;
        let (now, then) = (schedule.alpha_bar[t], alpha_bar(schedule, prev));
        self.eta * ((1.0 - then) / (1.0 - now)).sqrt() * (1.0 - now / then).sqrt()
    }
    // ANCHOR_END: sigma
}

// ANCHOR: step
impl<D: UNetDevice> Solver<D> for Ddim {
    /// DDIM eq. 12.
    fn step(
        &mut self,
        x_t: &Images<D>,
        t: usize,
        prev: Option<usize>,
        denoise: &Denoiser<D>,
        noise: &mut dyn FnMut() -> Images<D>,
    ) -> Outcome<D> {
        let Self { diffusion, clip, .. } = self;
        let output = denoise(x_t, t);
        let x0 = clipped_x0(diffusion, *clip, x_t, t, &output);
        let timesteps = vec![t; x_t.shape().0];
        let eps = if self.use_clipped_model_output {
            diffusion.eps_given_x0(x_t, &timesteps, &x0)
        } else {
            diffusion.eps(x_t, &timesteps, &output)
        };
        let (then, sigma) = (alpha_bar(&diffusion.schedule, prev), self.sigma(t, prev));
        // What is left of the variance goes to the noise that is already there; a
        // rounding error must not make the root imaginary.
        let direction = (1.0 - then - sigma * sigma).max(0.0).sqrt();
        let mut next = x0.clone() * then.sqrt() as f32 + eps * direction as f32;
        if sigma > 0.0 {
            next = next + noise() * sigma as f32;
        }
        Outcome { x0, next }
    }
}
// ANCHOR_END: step

impl Ddim {
    // ANCHOR: inversion
    /// The way back, from an image to the noise from which a walk with eta 0 would lead
    /// to it. Exact in the limit of many steps: each step assumes that the network's
    /// output is the same at both ends of the step (DDIM, section 4.3).
    pub fn invert<D: UNetDevice>(
        &self,
        image: Images<D>,
        timesteps: &[usize],
        denoise: impl Fn(&Images<D>, usize) -> Images<D>,
    ) -> Images<D> {
        let Diffusion { schedule, .. } = &self.diffusion;
        let mut x = image;
        let upwards: Vec<_> = pairs(timesteps).collect();
        for (t, prev) in upwards.into_iter().rev() {
            let (now, then) = (schedule.alpha_bar[t], alpha_bar(schedule, prev));
            // x fades to its level at t, and noise is added in the direction that the
            // network sees.
            let faded = x.clone() * (now / then).sqrt() as f32;
            let output = denoise(&x, t);
            let eps = self.diffusion.eps(&x, &vec![t; x.shape().0], &output);
            let step = (1.0 - now).sqrt() - (now / then * (1.0 - then)).sqrt();
            x = faded + eps * step as f32;
        }
        x
    }
    // ANCHOR_END: inversion
}

/// How alike two batches of images in [-1, 1] are, in decibels: the peak
/// signal-to-noise ratio, 10 log₁₀(2² / mean square of the difference).
pub fn psnr<D: UNetDevice>(a: &Images<D>, b: &Images<D>) -> f64 {
    let (a, b) = (a.as_vec(), b.as_vec());
    let squares: f64 =
        a.iter().zip(&b).map(|(&a, &b)| (a as f64 - b as f64).powi(2)).sum();
    10.0 * (4.0 * a.len() as f64 / squares).log10()
}

// ANCHOR: slerp
/// The point at `u` on the path from `a` (`u` = 0) to `b` (`u` = 1). Every point on
/// this path is about as far from 0 as noise should be; a straight line between two
/// samples of noise comes closer to 0. For each image, the path is the great circle
/// through both samples (Shoemake 1985).
///
/// # Panics
/// If the shapes differ.
pub fn slerp<D: UNetDevice>(a: &Images<D>, b: &Images<D>, u: f64) -> Images<D> {
    assert_eq!(a.shape(), b.shape(), "slerp needs two batches of the same shape");
    let shape = *a.shape();
    let size = shape.1 * shape.2 * shape.3;
    let mut values = Vec::with_capacity(shape.0 * size);
    for (a, b) in a.as_vec().chunks(size).zip(b.as_vec().chunks(size)) {
        let dot = |x: &[f32], y: &[f32]| {
            x.iter().zip(y).map(|(&x, &y)| x as f64 * y as f64).sum::<f64>()
        };
        let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let angle = cosine.clamp(-1.0, 1.0).acos();
        // Nearly the same direction: a line is just as good, and avoids a division by
        // zero.
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
