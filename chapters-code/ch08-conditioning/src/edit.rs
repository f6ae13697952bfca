//! Changing an image with a network that was only trained to draw.

use ch02_schedule::Schedule;
use ch06_sampling::{noise_per_image, walk, Denoiser, Outcome, Solver, Walk};
use ch07_ddim::Ddim;
use dfdx::prelude::*;
use ops::{Images, UNetDevice};
use rand_chacha::ChaCha8Rng;

// ANCHOR: from_image
/// Image to image: noise the image part of the way, then walk from there. Algorithm 1
/// of SDEdit (Meng et al. 2022) does so with noise that grows without shrinking the
/// image; here the same idea is applied to our kind of noise. With `strength` 0 nothing
/// is changed; with 1 nothing is kept.
///
/// # Panics
/// If `strength` is not between 0 and 1.
pub fn from_image<'a, D: UNetDevice>(
    ddim: Ddim,
    image: Images<D>,
    strength: f64,
    timesteps: &[usize],
    mut rngs: Vec<ChaCha8Rng>,
    denoise: impl Fn(&Images<D>, usize) -> Images<D> + 'a,
) -> Walk<'a, D> {
    assert!((0.0..=1.0).contains(&strength), "a strength of {strength}");
    let beyond = strength * ddim.diffusion.schedule.len() as f64;
    let is_left = |t: &usize| (*t as f64) < beyond;
    let rest: Vec<usize> = timesteps.iter().copied().filter(is_left).collect();
    let x_t = match rest.first() {
        Some(&start) => {
            let eps = noise_per_image(image.device(), *image.shape(), &mut rngs);
            ddim.diffusion.q_sample(&image, &vec![start; image.shape().0], &eps)
        }
        None => image,
    };
    walk(ddim, x_t, &rest, rngs, denoise)
}
// ANCHOR_END: from_image

// ANCHOR: jump_on
/// From timestep s to a later t without knowing the image: all steps in between act as
/// one that keeps ᾱₜ / ᾱₛ of the variance.
pub fn jump_on<D: UNetDevice>(
    schedule: &Schedule,
    x_s: Images<D>,
    s: usize,
    t: usize,
    eps: Images<D>,
) -> Images<D> {
    let kept = schedule.alpha_bar[t] / schedule.alpha_bar[s];
    x_s * kept.sqrt() as f32 + eps * (1.0 - kept).sqrt() as f32
}
// ANCHOR_END: jump_on

// ANCHOR: inpaint
/// Inpainting (RePaint, Lugmayr et al. 2022, algorithm 1): draws where `mask` is 1 and,
/// after every step, puts the noised image where `mask` is 0.
pub struct Inpaint<D: UNetDevice> {
    /// The solver that takes the steps; with an eta of 1, they are those of ancestral
    /// sampling, as in the paper.
    pub ddim: Ddim,
    /// `(batch, channels, height, width)`, like the images that are drawn.
    pub image: Images<D>,
    /// Of the same shape.
    pub mask: Images<D>,
    /// How many times every step but the last is taken, with noise added in between:
    /// each time, new and old fit together better.
    pub resamplings: usize,
}
// ANCHOR_END: inpaint

// ANCHOR: inpaint_step
impl<D: UNetDevice> Solver<D> for Inpaint<D> {
    fn step(
        &mut self,
        x_t: &Images<D>,
        t: usize,
        prev: Option<usize>,
        denoise: &Denoiser<D>,
        noise: &mut dyn FnMut() -> Images<D>,
    ) -> Outcome<D> {
        let keep = self.mask.clone().negate() + 1.0;
        let (mut x_t, mut left) = (x_t.clone(), self.resamplings);
        loop {
            let Outcome { x0, next } = self.ddim.step(&x_t, t, prev, denoise, noise);
            let known = match prev {
                Some(prev) => {
                    let timesteps = vec![prev; x_t.shape().0];
                    self.ddim.diffusion.q_sample(&self.image, &timesteps, &noise())
                }
                None => self.image.clone(),
            };
            let next = next * self.mask.clone() + known * keep.clone();
            left = left.saturating_sub(1);
            match prev {
                Some(prev) if left > 0 => {
                    let schedule = &self.ddim.diffusion.schedule;
                    x_t = jump_on(schedule, next, prev, t, noise());
                }
                _ => return Outcome { x0, next },
            }
        }
    }
}
// ANCHOR_END: inpaint_step
