//! Draws images with a trained model in few steps.

use std::path::PathBuf;

use anyhow::Context;
use ch03_forward::rng;
use ch04_unet::model_dir;
use ch06_sampling::noise_per_image;
use ch07_ddim::{Ddim, DpmSolver, TimestepSpacing};
use clap::{Parser, ValueEnum};
use cli::progress::Progress;
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

/// Draw images with a trained model in few steps
#[derive(Parser)]
struct Args {
    /// The model directory
    #[arg(long, value_name = "DIR", default_value = "runs/cats")]
    model: PathBuf,
    /// How many images to draw
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Decides the noise: image i of a seed is always the same
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many timesteps to visit
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// How to get from one to the next
    #[arg(long, value_enum, default_value = "ddim")]
    solver: Solver,
    /// How much fresh noise a DDIM step adds: 0 none, 1 as much as ancestral sampling
    #[arg(long, default_value_t = 0.0, value_parser = eta, allow_negative_numbers = true)]
    eta: f64,
    /// Which timesteps to visit
    #[arg(long, value_enum, default_value = "trailing")]
    timestep_spacing: TimestepSpacing,
    /// Do not cut predicted images off at the range of real ones
    #[arg(long)]
    no_clip: bool,
    /// The grid of images to write (PNG)
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
    /// How many screen pixels wide to draw each pixel
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// Side of the images, if the model does not say
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    image_size: Option<u32>,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
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
    cli::run(|args: Args| {
        anyhow::ensure!(args.solver == Solver::Ddim || args.eta == 0.0, "--eta {}: only DDIM adds noise", args.eta);
        cli::set_threads(args.threads.map(|t| t as usize))?;
        let device = cli::device(args.seed)?;
        let mut model = model_dir::load(&device, &args.model)?;
        model.scheduler.clip_sample &= !args.no_clip;
        let shape = model.image_shape(args.image_size.map(|side| side as usize));
        let [channels, height, width] = shape.with_context(|| args.model.display().to_string())?;
        let (len, steps, count) = (model.schedule.len(), args.steps as usize, args.count as usize);
        anyhow::ensure!(steps <= len, "--steps {steps}: the model knows {len} timesteps only");
        let timesteps = args.timestep_spacing.timesteps(len, steps, 0);

        let mut progress = Progress::new((count.div_ceil(BATCH) * steps) as u64, 0);
        let start = std::time::Instant::now();
        let mut drawn: Vec<f32> = Vec::new();
        let done = std::cell::Cell::new(0);
        for first in (0..count).step_by(BATCH) {
            let size = BATCH.min(count - first);
            let mut rngs: Vec<_> = (first..first + size).map(|image| rng(args.seed, image as u64)).collect();
            let x = noise_per_image(&device, (size, channels, height, width), &mut rngs);
            let denoise = |x: &Images<AutoDevice>, t: usize| {
                done.set(done.get() + 1);
                model.unet.forward(x.clone(), &vec![t; size])
            };
            let ddim = Ddim::of(&model, args.eta);
            let images = match args.solver {
                Solver::Ddim => ddim.sample(x, &timesteps, &mut rngs, denoise),
                Solver::DpmSolver => DpmSolver::new(ddim).sample(x, &timesteps, denoise),
            };
            progress.update(done.get(), || format!("{} of {count} images", first + size));
            drawn.extend(images.as_vec());
        }
        progress.finish();
        anyhow::ensure!(
            drawn.iter().all(|v| v.is_finite()),
            "{}: the network's answers are not finite numbers: the model is damaged or did not learn",
            args.model.display()
        );
        let seconds = start.elapsed().as_secs_f64();
        println!("{count} images in {steps} steps each: {:.2} images/s", count as f64 / seconds);
        let images = device.tensor_from_vec(drawn, (count, channels, height, width));
        let columns = (count as f64).sqrt().ceil() as usize;
        figures::save_png(&args.out, &cli::grid(&images, columns, args.scale as usize))?;
        println!("wrote {}", args.out.display());
        Ok(())
    })
}
