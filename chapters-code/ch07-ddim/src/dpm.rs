//! DPM-Solver++ (2M): the same walk with a better guess of where it bends.
//!
//! Equation and algorithm numbers are those of Lu et al. 2022, "DPM-Solver++: Fast
//! Solver for Guided Sampling of Diffusion Probabilistic Models".

use ops::{Images, UNetDevice};

use crate::{alpha_bar, pairs, Ddim};

// ANCHOR: dpm
/// The multistep solver of second order (Lu et al. 2022, algorithm 2). It takes the
/// prediction of the clean image to move along a line in the half-logarithm λ of the
/// signal-to-noise ratio, whose slope it knows from the step before.
#[derive(Clone, Debug)]
pub struct DpmSolver<'a, D: UNetDevice> {
    ddim: Ddim<'a>,
    /// λ and the clean image that was predicted there, one step ago.
    before: Option<(f64, Images<D>)>,
}

/// λ = ln(√ᾱ / √(1 - ᾱ)).
fn lambda(alpha_bar: f64) -> f64 {
    0.5 * (alpha_bar / (1.0 - alpha_bar)).ln()
}
// ANCHOR_END: dpm

impl<'a, D: UNetDevice> DpmSolver<'a, D> {
    /// A walk that has not begun. Clipping and prediction type are those of `ddim`.
    pub fn new(ddim: Ddim<'a>) -> Self {
        Self { ddim, before: None }
    }

    // ANCHOR: step
    /// One step, from x_t to x_prev; `prev` is `None` for the last one, which ends at
    /// the predicted image.
    pub fn step(
        &mut self,
        t: usize,
        prev: Option<usize>,
        x_t: &Images<D>,
        answer: &Images<D>,
    ) -> Images<D> {
        let x0 = self.ddim.x0_prediction(t, x_t, answer);
        let (now, then) =
            (self.ddim.schedule.alpha_bar[t], alpha_bar(self.ddim.schedule, prev));
        let before = self.before.replace((lambda(now), x0.clone()));
        if prev.is_none() {
            return x0; // λ is infinite at the clean image
        }
        let h = lambda(then) - lambda(now);
        // The clean image, a half step ahead on the line through the last two
        // predictions.
        let ahead = match before {
            None => x0,
            Some((at, earlier)) => {
                let r = (lambda(now) - at) / h;
                let bend = (0.5 / r) as f32;
                x0 * (1.0 + bend) - earlier * bend
            }
        };
        let (of_x, of_x0) =
            (((1.0 - then) / (1.0 - now)).sqrt(), -then.sqrt() * (-h).exp_m1());
        x_t.clone() * of_x as f32 + ahead * of_x0 as f32
    }
    // ANCHOR_END: step

    /// All steps, from `x`, which is noise, over `timesteps`, the noisiest first, to an
    /// image. `denoise` answers for x_t at t.
    pub fn sample(
        mut self,
        mut x: Images<D>,
        timesteps: &[usize],
        denoise: impl Fn(&Images<D>, usize) -> Images<D>,
    ) -> Images<D> {
        for (t, prev) in pairs(timesteps) {
            let answer = denoise(&x, t);
            x = self.step(t, prev, &x, &answer);
        }
        x
    }
}
