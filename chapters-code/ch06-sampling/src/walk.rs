//! The walk from noise to image, with any solver.

use std::ops::Range;

use ch02_schedule::Schedule;
use ch03_forward::{gaussian, Purpose};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

// ANCHOR: solver
/// Computes the network's output for images at a timestep.
pub type Denoiser<'a, D> = dyn Fn(&Images<D>, usize) -> Images<D> + 'a;

/// The result of a step from x_t.
#[derive(Clone, Debug)]
pub struct Outcome<D: UNetDevice> {
    /// The clean image, as predicted at this step.
    pub x0: Images<D>,
    /// The image at the timestep to which the step leads.
    pub next: Images<D>,
}

/// How to get from one timestep to the next.
pub trait Solver<D: UNetDevice> {
    /// One step, from x_t at timestep `t` to timestep `prev` or, if `prev` is `None`,
    /// to the clean image.
    ///
    /// `noise` draws fresh noise in the shape of x_t; a step that adds none does not
    /// call it.
    fn step(
        &mut self,
        x_t: &Images<D>,
        t: usize,
        prev: Option<usize>,
        denoise: &Denoiser<D>,
        noise: &mut dyn FnMut() -> Images<D>,
    ) -> Outcome<D>;
}
// ANCHOR_END: solver

impl<D: UNetDevice, S: Solver<D> + ?Sized> Solver<D> for Box<S> {
    fn step(
        &mut self,
        x_t: &Images<D>,
        t: usize,
        prev: Option<usize>,
        denoise: &Denoiser<D>,
        noise: &mut dyn FnMut() -> Images<D>,
    ) -> Outcome<D> {
        (**self).step(x_t, t, prev, denoise, noise)
    }
}

// ANCHOR: walk
/// One step of a walk: from x_t at timestep `t` to `next` at the following timestep.
#[derive(Clone, Debug)]
pub struct Step<D: UNetDevice> {
    pub t: usize,
    pub x_t: Images<D>,
    /// The clean image, as predicted at this step.
    pub x0: Images<D>,
    pub next: Images<D>,
}

/// A walk from noise to images: an iterator over its steps. See [`walk`].
#[must_use = "a walk takes a step when it is asked for one, or all with `finish`"]
pub struct Walk<'a, D: UNetDevice> {
    solver: Box<dyn Solver<D> + 'a>,
    x: Images<D>,
    pairs: std::vec::IntoIter<(usize, Option<usize>)>,
    rngs: Vec<ChaCha8Rng>,
    denoise: Box<Denoiser<'a, D>>,
}

/// The walk from the noise `x` to images, over `timesteps`, the noisiest first.
/// `denoise` computes the network's output for x_t at t. `rngs` holds a random source
/// per image, or nothing if the solver adds no noise.
pub fn walk<'a, D: UNetDevice>(
    solver: impl Solver<D> + 'a,
    x: Images<D>,
    timesteps: &[usize],
    rngs: Vec<ChaCha8Rng>,
    denoise: impl Fn(&Images<D>, usize) -> Images<D> + 'a,
) -> Walk<'a, D> {
    let pairs: Vec<_> = pairs(timesteps).collect();
    let (solver, denoise) = (Box::new(solver), Box::new(denoise));
    Walk { solver, x, pairs: pairs.into_iter(), rngs, denoise }
}
// ANCHOR_END: walk

// ANCHOR: iterator
impl<D: UNetDevice> Iterator for Walk<'_, D> {
    type Item = Step<D>;

    fn next(&mut self) -> Option<Step<D>> {
        let (t, prev) = self.pairs.next()?;
        let x_t = self.x.clone();
        let mut noise = || noise_per_image(x_t.device(), *x_t.shape(), &mut self.rngs);
        let Outcome { x0, next } =
            self.solver.step(&x_t, t, prev, &self.denoise, &mut noise);
        self.x = next.clone();
        Some(Step { t, x_t, x0, next })
    }
}

impl<D: UNetDevice> Walk<'_, D> {
    /// Takes all steps that are left, and returns the images.
    pub fn finish(mut self) -> Images<D> {
        self.by_ref().for_each(drop);
        self.x
    }
}
// ANCHOR_END: iterator

// ANCHOR: pairs
/// Each timestep with the one after it; after the last comes the clean image.
pub fn pairs(timesteps: &[usize]) -> impl Iterator<Item = (usize, Option<usize>)> + '_ {
    let next = timesteps.iter().skip(1).copied().map(Some).chain([None]);
    timesteps.iter().copied().zip(next)
}

/// All timesteps of a schedule, the noisiest first.
pub fn all_timesteps(schedule: &Schedule) -> Vec<usize> {
    (0..schedule.len()).rev().collect()
}
// ANCHOR_END: pairs

// ANCHOR: noise_per_image
/// Noise in which each image has a random source of its own, so that an image does not
/// depend on how many others are drawn with it.
///
/// # Panics
/// If there is not exactly one source per image.
pub fn noise_per_image<D: UNetDevice>(
    device: &D,
    shape: (usize, usize, usize, usize),
    rngs: &mut [impl Rng],
) -> Images<D> {
    let (batch, channels, height, width) = shape;
    assert_eq!(rngs.len(), batch, "one random source per image");
    let image = |rng| gaussian(rng).take(channels * height * width);
    ops::tensor(device, rngs.iter_mut().flat_map(image).collect(), shape)
}

/// The random sources for the images with the given numbers and seed.
pub fn sources(seed: u64, images: Range<u64>) -> Vec<ChaCha8Rng> {
    images.map(|image| Purpose::Sampling.rng(seed, image)).collect()
}
// ANCHOR_END: noise_per_image
