//! DPM-Solver++ (2M): the same walk with a better guess of where it bends.
//!
//! Equation and algorithm numbers are those of Lu et al. 2022, "DPM-Solver++: Fast
//! Solver for Guided Sampling of Diffusion Probabilistic Models".

use ch03_forward::Diffusion;
use ch04_unet::model_dir::Model;
use ch06_sampling::{clipped_x0, Denoiser, Outcome, Solver};
use ops::{Images, UNetDevice};

use crate::alpha_bar;

// ANCHOR: dpm
/// The second-order solver with memory (Lu et al. 2022, algorithm 2). It assumes that
/// the predicted clean image is linear in λ, half the logarithm of the signal-to-noise
/// ratio, and takes the slope from the step before.
#[derive(Clone, Debug)]
pub struct DpmSolver<D: UNetDevice> {
    diffusion: Diffusion,
    clip: Option<f32>,
    /// λ and the clean image that was predicted there, one step ago.
    before: Option<(f64, Images<D>)>,
}

/// λ = ln(√ᾱ / √(1 - ᾱ)).
fn lambda(alpha_bar: f64) -> f64 {
    0.5 * (alpha_bar / (1.0 - alpha_bar)).ln()
}
// ANCHOR_END: dpm

impl<D: UNetDevice> DpmSolver<D> {
    /// A solver for a walk that has not begun. Predicted images are clipped to ±
    /// `clip`.
    pub fn new(diffusion: Diffusion, clip: Option<f32>) -> Self {
        Self { diffusion, clip, before: None }
    }

    /// The solver that a model asks for.
    pub fn for_model<N>(model: &Model<N>) -> Self {
        Self::new(model.diffusion.clone(), model.scheduler.clip())
    }
}

// ANCHOR: step
impl<D: UNetDevice> Solver<D> for DpmSolver<D> {
    fn step(
        &mut self,
        x_t: &Images<D>,
        t: usize,
        prev: Option<usize>,
        denoise: &Denoiser<D>,
        _noise: &mut dyn FnMut() -> Images<D>,
    ) -> Outcome<D> {
        let schedule = &self.diffusion.schedule;
        let (now, then) = (schedule.alpha_bar[t], alpha_bar(schedule, prev));
        let x0 = clipped_x0(&self.diffusion, self.clip, x_t, t, &denoise(x_t, t));
        let before = self.before.replace((lambda(now), x0.clone()));
        if prev.is_none() {
            return Outcome { next: x0.clone(), x0 }; // λ is infinite at the clean image
        }
        let h = lambda(then) - lambda(now);
        // The clean image half a step ahead, on the line through the last two
        // predictions.
        let ahead = match before {
            None => x0.clone(),
            Some((at, earlier)) => {
                let r = (lambda(now) - at) / h;
                let bend = (0.5 / r) as f32;
                x0.clone() * (1.0 + bend) - earlier * bend
            }
        };
        let (of_x, of_x0) =
            (((1.0 - then) / (1.0 - now)).sqrt(), -then.sqrt() * (-h).exp_m1());
        let next = x_t.clone() * of_x as f32 + ahead * of_x0 as f32;
        Outcome { x0, next }
    }
}
// ANCHOR_END: step
