//! Draws images with a trained model in few steps, films the path from one image to another, and
//! leads images back to noise.

mod compare;
mod interpolate;
mod invert;

use std::path::PathBuf;

use anyhow::Context;
use ch04_unet::model_dir::Model;
use ch04_unet::UNet;
use ch06_sampling::program::{self, BATCH};
use ch06_sampling::{denoiser, noise_per_image, sources, walk};
use ch07_ddim::flags::{SolverArgs, Spacing};
use clap::Parser;
use cli::progress::Progress;
use ops::AutoDevice;

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
    /// Film the path from image to image through the space of noise
    Interpolate(interpolate::Args),
    /// Draw from the same noise with different numbers of steps, a row for each
    Compare(compare::Args),
    /// Lead images back to their noise and forward again, and say how well that goes
    Invert(invert::Args),
}

/// What every command needs.
#[derive(clap::Args)]
pub struct Common {
    /// The model directory (default: the cats that come with this book)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Do not clip predicted images to the range of real ones
    #[arg(long)]
    no_clip: bool,
    #[command(flatten)]
    spacing: Spacing,
    /// How many screen pixels wide to draw each pixel
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

impl Common {
    /// The device, the model, and the model's directory.
    pub fn open(
        &self,
    ) -> anyhow::Result<(AutoDevice, Model<UNet<AutoDevice>>, String)> {
        cli::set_threads(self.threads.map(|t| t as usize))?;
        let device = cli::device(0)?;
        let (mut model, directory) = program::open(&device, self.model.as_deref())?;
        model.scheduler.clip_sample &= !self.no_clip;
        Ok((device, model, directory.display().to_string()))
    }

    /// The timesteps to visit.
    pub fn timesteps(
        &self,
        model: &Model<UNet<AutoDevice>>,
        steps: u32,
    ) -> anyhow::Result<Vec<usize>> {
        self.spacing.timesteps(model.diffusion.schedule.len(), steps)
    }
}

#[derive(clap::Args)]
struct Draw {
    #[command(flatten)]
    common: Common,
    /// How many images to draw
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Determines the noise: image i of a seed is always the same
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many timesteps to visit
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    #[command(flatten)]
    solver: SolverArgs,
    /// Side of the images in pixels, if the model does not specify it
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    image_size: Option<u32>,
    /// The grid of images to write (PNG)
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
}

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| match &args.command {
        None => draw(&args.draw),
        Some(Command::Interpolate(args)) => interpolate::run(args),
        Some(Command::Compare(args)) => compare::run(args),
        Some(Command::Invert(args)) => invert::run(args),
    })
}

fn draw(args: &Draw) -> anyhow::Result<()> {
    cli::outputs([("--out", &args.out, "png")])?;
    let (device, model, name) = args.common.open()?;
    let shape = model.image_shape(args.image_size.map(|side| side as usize));
    let [channels, height, width] = shape.with_context(|| name.clone())?;
    let timesteps = args.common.timesteps(&model, args.steps)?;
    let (steps, count) = (args.steps as usize, args.count as usize);
    let columns = (count as f64).sqrt().ceil() as usize;
    figures::check_grid(
        count,
        columns,
        [channels, height, width],
        args.common.scale as usize,
    )?;
    program::check_memory(
        model.network.config(),
        [channels, height, width],
        count,
        BATCH,
    )?;

    let mut progress = Progress::new((count.div_ceil(BATCH) * steps) as u64, 0);
    let start = std::time::Instant::now();
    let (mut drawn, mut done) = (Vec::new(), 0);
    let denoise = denoiser(&device, &model.network);
    for first in (0..count).step_by(BATCH) {
        let size = BATCH.min(count - first);
        let mut rngs = sources(args.seed, first as u64..(first + size) as u64);
        let x = noise_per_image(&device, (size, channels, height, width), &mut rngs);
        let solver = args.solver.for_model(&model).with_context(|| name.clone())?;
        let mut walk = walk(solver, x, &timesteps, rngs, &denoise);
        for _ in walk.by_ref() {
            done += 1;
            progress.update(done, || format!("{first} of {count} images"));
        }
        let images = walk.finish();
        program::check_finite(&images).with_context(|| name.clone())?;
        drawn.extend(images.as_vec());
    }
    progress.finish();
    let seconds = start.elapsed().as_secs_f64();
    cli::println!(
        "{count} images in {steps} steps each: {:.2} images/s",
        count as f64 / seconds
    );
    let images = ops::tensor(&device, drawn, (count, channels, height, width));
    figures::save_png(
        &args.out,
        &figures::image_grid(&images, columns, args.common.scale as usize),
    )?;
    cli::println!("wrote {}", args.out.display());
    Ok(())
}
