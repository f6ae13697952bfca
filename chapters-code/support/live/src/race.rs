//! Chapter 7: three solvers that start from the same noise, and the path between two samples of
//! noise.

use std::path::Path;

use ch04_unet::model_dir::{self, Model};
use ch04_unet::UNet;
use ch06_sampling::{denoiser, noise_per_image, sources, walk, Solver};
use ch07_ddim::{slerp, Ddim, DpmSolver, TimestepSpacing};
use dfdx::prelude::*;
use ops::Images;
use serde::Deserialize;

use crate::sampling::CATS;
use crate::{files, frame, Frames};

type Cats = Model<UNet<Cpu>>;

/// The cats that a solver draws from `x` in `steps` steps, or in as many as the schedule has, if
/// that is fewer.
fn draw(
    model: &Cats,
    solver: impl Solver<Cpu>,
    x: &Images<Cpu>,
    steps: usize,
    seed: u64,
) -> Images<Cpu> {
    let all = model.diffusion.schedule.len();
    let timesteps = TimestepSpacing::Trailing.timesteps(all, steps.min(all), 0);
    let rngs = sources(seed, 0..x.shape().0 as u64);
    let denoise = denoiser(&crate::device(), &model.network);
    walk(solver, x.clone(), &timesteps, rngs, denoise).finish()
}

fn noise(model: &Cats, seed: u64) -> anyhow::Result<Images<Cpu>> {
    let [channels, height, width] = model.image_shape(None)?;
    let shape = (1, channels, height, width);
    Ok(noise_per_image(&crate::device(), shape, &mut sources(seed, 0..1)))
}

/// Root mean square difference.
fn distance(a: &Images<Cpu>, b: &Images<Cpu>) -> f32 {
    (a.clone() - b.clone()).square().mean::<Rank0, _>().sqrt().as_vec()[0]
}

/// DDIM and DPM-Solver++ with ever more steps, next to the result of a walk over all steps and to
/// DDIM with as much fresh noise as in chapter 6.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Race {
    seed: u64,
}

/// The numbers of steps, one for each picture of the film.
const STEPS: [usize; 12] = [1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 50];

impl Race {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let device = crate::device();
        let model = model_dir::load_from(&*files(), &device, Path::new(CATS))?;
        let x = noise(&model, self.seed)?;
        let mut end = None;
        Ok(Box::new(STEPS.into_iter().map(move |steps| {
            let all = model.diffusion.schedule.len();
            let end =
                end.get_or_insert_with(|| draw(&model, Ddim::for_model(&model, 0.0), &x, all, 0));
            let random = draw(&model, Ddim::for_model(&model, 1.0), &x, steps, self.seed);
            let ddim = draw(&model, Ddim::for_model(&model, 0.0), &x, steps, 0);
            let dpm = draw(&model, DpmSolver::for_model(&model), &x, steps, 0);
            let caption = format!(
                "{steps} step{}: DDIM (distance {:.3}), DPM-Solver++ (distance {:.3}), DDIM in \
                {all} steps, and DDIM with eta 1 (another cat)",
                if steps == 1 { "" } else { "s" },
                distance(&ddim, end),
                distance(&dpm, end)
            );
            frame(&[&ddim, &dpm, end, &random], 4, caption)
        })))
    }
}

/// The cats drawn from two samples of noise, and from one between them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoiseWalk {
    from: u64,
    to: u64,
    /// How far along the path, from 0 to 1.
    place: f64,
    along: Way,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Arc,
    Line,
}

/// Steps to each cat.
const TEN: usize = 10;

impl NoiseWalk {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let u = self.place;
        anyhow::ensure!((0.0..=1.0).contains(&u), "place = {u}: it must be from 0 to 1");
        let device = crate::device();
        let model = model_dir::load_from(&*files(), &device, Path::new(CATS))?;
        let (from, to) = (noise(&model, self.from)?, noise(&model, self.to)?);
        let between = match self.along {
            Way::Arc => slerp(&from, &to, u),
            Way::Line => from.clone() * (1.0 - u) as f32 + to.clone() * u as f32,
        };
        let length = |x: &Images<Cpu>| distance(x, &(x.clone() * 0.0));
        let caption = format!("{u:.2} of the way; the noise has deviation {:.2}", length(&between));
        let [from, between, to] =
            [from, between, to].map(|x| draw(&model, Ddim::for_model(&model, 0.0), &x, TEN, 0));
        Ok(Box::new(std::iter::once(frame(&[&from, &between, &to], 3, caption))))
    }
}
