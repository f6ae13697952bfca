//! Changing an image with a network that was only trained to draw.

use ch02_schedule::Schedule;
use ch03_forward::Diffusion;
use ch06_sampling::{noise_per_image, pairs, walk, Solver};
use ch07_ddim::Ddim;
use dfdx::prelude::*;
use ops::{Images, UNetDevice};
use rand_chacha::ChaCha8Rng;

// ANCHOR: from_image
/// Image to image (SDEdit, Meng et al. 2022, whose algorithm 1 is written for noise
/// that grows without shrinking the image; this is the same idea for ours): noise the
/// image part of the way, then draw from there. With `strength` 0 nothing is changed,
/// with 1 nothing is kept.
///
/// # Panics
/// If `strength` is not between 0 and 1.
pub fn from_image<D: UNetDevice>(
    ddim: &Ddim,
    image: Images<D>,
    strength: f64,
    timesteps: &[usize],
    mut rngs: Vec<ChaCha8Rng>,
    denoise: impl Fn(&Images<D>, usize) -> Images<D>,
) -> Images<D> {
    assert!((0.0..=1.0).contains(&strength), "a strength of {strength}");
    let beyond = strength * ddim.diffusion.schedule.len() as f64;
    let rest: Vec<usize> =
        timesteps.iter().copied().filter(|&t| (t as f64) < beyond).collect();
    let Some(&start) = rest.first() else { return image };
    let eps = noise_per_image(image.device(), *image.shape(), &mut rngs);
    let x_t = ddim.diffusion.q_sample(&image, &vec![start; image.shape().0], &eps);
    walk(ddim.clone(), x_t, &rest, rngs, denoise).finish()
}
// ANCHOR_END: from_image

// ANCHOR: jump_on
/// From timestep s on to a later t without knowing the image: all steps between are one
/// that keeps ᾱₜ / ᾱₛ of the variance.
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
/// Inpainting (RePaint, Lugmayr et al. 2022, algorithm 1): draws where `mask` is 1, and
/// after every step puts the noised image where it is 0. Every step but the last is
/// done `resamplings` times, with noise added in between: each time the two fit better.
/// `image` and `mask` are `(batch, channels, h, w)`.
pub fn inpaint<D: UNetDevice>(
    ddim: &Ddim,
    image: &Images<D>,
    mask: &Images<D>,
    timesteps: &[usize],
    resamplings: usize,
    mut rngs: Vec<ChaCha8Rng>,
    denoise: impl Fn(&Images<D>, usize) -> Images<D>,
) -> Images<D> {
    let (mut solver, Diffusion { schedule, .. }) = (ddim.clone(), &ddim.diffusion);
    let (device, shape) = (image.device(), *image.shape());
    let mut noise = || noise_per_image(device, shape, &mut rngs);
    let keep = mask.clone().negate() + 1.0;
    let mut x = noise();
    for (t, prev) in pairs(timesteps) {
        for again in (0..resamplings.max(1)).rev() {
            let fresh = noise();
            let step = solver.step(&x, t, prev, &denoise, &mut || fresh.clone());
            let drawn = step.next * mask.clone();
            let Some(prev) = prev else {
                return drawn + image.clone() * keep;
            };
            let known = ddim.diffusion.q_sample(image, &vec![prev; shape.0], &noise());
            x = drawn + known * keep.clone();
            if again > 0 {
                x = jump_on(schedule, x, prev, t, noise());
            }
        }
    }
    x
}
// ANCHOR_END: inpaint
