//! Draws images with a trained model in few steps, films the way from one to another, and leads images back to noise.

mod compare;
mod interpolate;
mod invert;

use std::path::PathBuf;

use anyhow::Context;
use ch03_forward::rng;
use ch04_unet::model_dir::{self, Model};
use ch06_sampling::noise_per_image;
use ch07_ddim::{Ddim, DpmSolver, TimestepSpacing};
use clap::{Parser, ValueEnum};
use cli::progress::Progress;
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

/// Draw images with a trained model in few steps
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    draw: Draw,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Film the way from image to image through the space of noise
    Interpolate(interpolate::Args),
    /// Draw from the same noise in few steps and in many, a row for each number
    Compare(compare::Args),
    /// Lead images back to their noise and forth again, and say how well that goes
    Invert(invert::Args),
}

/// What every command needs.
#[derive(clap::Args)]
pub struct Common {
    /// The model directory
    #[arg(long, value_name = "DIR", default_value = "runs/cats")]
    model: PathBuf,
    /// Do not cut predicted images off at the range of real ones
    #[arg(long)]
    no_clip: bool,
    /// Which timesteps to visit
    #[arg(long, value_enum, default_value = "trailing")]
    timestep_spacing: TimestepSpacing,
    /// How many screen pixels wide to draw each pixel
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

impl Common {
    /// The device and the model.
    pub fn open(&self) -> anyhow::Result<(AutoDevice, Model<AutoDevice>)> {
        cli::set_threads(self.threads.map(|t| t as usize))?;
        let device = cli::device(0)?;
        let mut model = model_dir::load(&device, &self.model)?;
        model.scheduler.clip_sample &= !self.no_clip;
        Ok((device, model))
    }

    /// The timesteps to visit.
    pub fn timesteps(&self, model: &Model<AutoDevice>, steps: u32) -> anyhow::Result<Vec<usize>> {
        let (len, steps) = (model.schedule.len(), steps as usize);
        anyhow::ensure!(steps <= len, "--steps {steps}: the model knows {len} timesteps only");
        Ok(self.timestep_spacing.timesteps(len, steps, 0))
    }
}

#[derive(clap::Args)]
struct Draw {
    #[command(flatten)]
    common: Common,
    /// How many images to draw
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Decides the noise: image i of a seed is always the same
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many timesteps to visit
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    #[command(flatten)]
    way: Way,
    /// Side of the images, if the model does not say
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    image_size: Option<u32>,
    /// The grid of images to write (PNG)
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
}

/// How to get from one timestep to the next.
#[derive(clap::Args)]
pub struct Way {
    /// How to get from one timestep to the next
    #[arg(long, value_enum, default_value = "ddim")]
    solver: Solver,
    /// How much fresh noise a DDIM step adds: 0 none, 1 as much as ancestral sampling
    #[arg(long, default_value_t = 0.0, value_parser = eta, allow_negative_numbers = true)]
    eta: f64,
}

impl Way {
    /// Draws images from `x`, which is noise; `watch` hears of every step.
    pub fn go(
        &self,
        model: &Model<AutoDevice>,
        timesteps: &[usize],
        x: Images<AutoDevice>,
        rngs: &mut [impl rand::Rng],
        watch: impl Fn(),
    ) -> anyhow::Result<Images<AutoDevice>> {
        anyhow::ensure!(self.solver == Solver::Ddim || self.eta == 0.0, "--eta {}: only DDIM adds noise", self.eta);
        let count = x.shape().0;
        let denoise = |x: &Images<AutoDevice>, t: usize| {
            watch();
            model.unet.forward(x.clone(), &vec![t; count])
        };
        let ddim = Ddim::of(model, self.eta);
        let images = match self.solver {
            Solver::Ddim => ddim.sample(x, timesteps, rngs, denoise),
            Solver::DpmSolver => DpmSolver::new(ddim).sample(x, timesteps, denoise),
        };
        anyhow::ensure!(
            images.as_vec().iter().all(|v| v.is_finite()),
            "the network's answers are not finite numbers: the model is damaged or did not learn"
        );
        Ok(images)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Solver {
    /// Denoising diffusion implicit models
    Ddim,
    /// DPM-Solver++ (2M)
    #[value(name = "dpm-solver++")]
    DpmSolver,
}

fn eta(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(eta) if (0.0..=1.0).contains(&eta) => Ok(eta),
        _ => Err("eta is a number from 0 to 1".into()),
    }
}

/// Images that go through the network together.
const BATCH: usize = 64;

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| match &args.command {
        None => draw(&args.draw),
        Some(Command::Interpolate(args)) => interpolate::run(args),
        Some(Command::Compare(args)) => compare::run(args),
        Some(Command::Invert(args)) => invert::run(args),
    })
}

fn draw(args: &Draw) -> anyhow::Result<()> {
    let (device, model) = args.common.open()?;
    let shape = model.image_shape(args.image_size.map(|side| side as usize));
    let [channels, height, width] = shape.with_context(|| args.common.model.display().to_string())?;
    let timesteps = args.common.timesteps(&model, args.steps)?;
    let (steps, count) = (args.steps as usize, args.count as usize);

    let mut progress = Progress::new((count.div_ceil(BATCH) * steps) as u64, 0);
    let start = std::time::Instant::now();
    let mut drawn: Vec<f32> = Vec::new();
    let done = std::cell::Cell::new(0);
    for first in (0..count).step_by(BATCH) {
        let size = BATCH.min(count - first);
        let mut rngs: Vec<_> = (first..first + size).map(|image| rng(args.seed, image as u64)).collect();
        let x = noise_per_image(&device, (size, channels, height, width), &mut rngs);
        let images = args.way.go(&model, &timesteps, x, &mut rngs, || done.set(done.get() + 1));
        drawn.extend(images.with_context(|| args.common.model.display().to_string())?.as_vec());
        progress.update(done.get(), || format!("{} of {count} images", first + size));
    }
    progress.finish();
    let seconds = start.elapsed().as_secs_f64();
    println!("{count} images in {steps} steps each: {:.2} images/s", count as f64 / seconds);
    let images = device.tensor_from_vec(drawn, (count, channels, height, width));
    let columns = (count as f64).sqrt().ceil() as usize;
    figures::save_png(&args.out, &cli::grid(&images, columns, args.common.scale as usize))?;
    println!("wrote {}", args.out.display());
    Ok(())
}
