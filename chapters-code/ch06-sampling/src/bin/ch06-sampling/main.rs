//! Draws images with a trained model.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ch04_unet::model_dir::VarianceType;
use ch06_sampling::program::{self, BATCH};
use ch06_sampling::{ancestral_walk, Step};
use clap::Parser;
use cli::progress::Progress;
use dfdx::prelude::*;
use ops::AutoDevice;

/// Draw images with a trained model
#[derive(Parser)]
struct Args {
    /// The model directory (default: the cats that come with this book)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// How many images to draw
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Determines the noise: image i of a seed is always the same
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The grid of images to write (PNG)
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
    /// Also write a film of the walk from noise to images (GIF)
    #[arg(long, value_name = "FILE")]
    trajectory: Option<PathBuf>,
    /// Also write what the network takes each image to be along the way, a row per image (PNG)
    #[arg(long, value_name = "FILE")]
    x0_strip: Option<PathBuf>,
    /// Which variance a step adds (default: the model's own)
    #[arg(long, value_enum)]
    variance_type: Option<VarianceType>,
    /// Do not clip predicted images to the range of real ones
    #[arg(long)]
    no_clip: bool,
    /// How many screen pixels wide to draw each pixel
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// Side of the images in pixels, if the model does not specify it
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    image_size: Option<u32>,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

/// Frames of the film and columns of the strip.
const FRAMES: usize = 50;
const COLUMNS: usize = 10;

/// Columns of a grid that is about as wide as it is high.
fn columns(count: usize) -> usize {
    (count as f64).sqrt().ceil() as usize
}

impl Args {
    /// Checks that everything asked for can be drawn, with images of this shape and
    /// `total` steps.
    fn check_sizes(
        &self,
        shape: [usize; 3],
        total: usize,
    ) -> Result<(), figures::FigureError> {
        let (count, scale) = (self.count as usize, self.scale as usize);
        let shown = count.min(BATCH);
        figures::check_grid(count, columns(count), shape, scale)?;
        if self.trajectory.is_some() {
            figures::check_film(
                FRAMES.min(total),
                shown,
                columns(shown),
                shape,
                scale,
            )?;
        }
        if self.x0_strip.is_some() {
            let moments = COLUMNS.min(total);
            figures::check_grid(shown * moments, moments, shape, scale)?;
        }
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| {
        let film = args.trajectory.as_ref().map(|path| ("--trajectory", path, "gif"));
        let strip = args.x0_strip.as_ref().map(|path| ("--x0-strip", path, "png"));
        cli::outputs(
            [("--out", &args.out, "png")].into_iter().chain(film).chain(strip),
        )?;
        cli::set_threads(args.threads.map(|t| t as usize))?;
        let device = cli::device(args.seed)?;
        let (mut model, directory) = program::open(&device, args.model.as_deref())?;
        if let Some(kind) = args.variance_type {
            model.scheduler.variance_type = kind;
        }
        if args.no_clip {
            model.scheduler.clip_sample = false;
        }
        let shape = model.image_shape(args.image_size.map(|side| side as usize));
        let shape = shape.with_context(|| directory.display().to_string())?;

        let (count, total) = (args.count as usize, model.diffusion.schedule.len());
        args.check_sizes(shape, total)?;
        program::check_memory(model.network.config(), shape, count, BATCH)?;
        let batches = count.div_ceil(BATCH);
        let mut progress = Progress::new((batches * total) as u64, 0);
        let mut drawn: Vec<f32> = Vec::new();
        let mut film = Film { frames: Vec::new(), predictions: Vec::new() };
        for batch in 0..batches {
            let first = batch * BATCH;
            let size = BATCH.min(count - first);
            let images = first as u64..(first + size) as u64;
            let mut walk = ancestral_walk(&device, &model, shape, images, args.seed);
            for step in walk.by_ref() {
                let done = batch * total + total - step.t;
                progress.update(done as u64, || format!("timestep {}", step.t));
                if batch == 0 {
                    film.record(&args, total, &step);
                }
            }
            let images = walk.finish();
            program::check_finite(&images)
                .with_context(|| directory.display().to_string())?;
            drawn.extend(images.as_vec());
        }
        progress.finish();
        let images = ops::tensor(&device, drawn, (count, shape[0], shape[1], shape[2]));
        let columns = columns(count);
        save(&args.out, &figures::image_grid(&images, columns, args.scale as usize))?;
        film.save(&args, &device, shape)
    })
}

fn save(path: &Path, picture: &figures::RgbImage) -> anyhow::Result<()> {
    figures::save_png(path, picture)?;
    cli::println!("wrote {}", path.display());
    Ok(())
}

/// A record of the walk of the first batch.
struct Film {
    frames: Vec<figures::RgbImage>,
    predictions: Vec<Vec<f32>>,
}

impl Film {
    fn record(&mut self, args: &Args, total: usize, step: &Step<AutoDevice>) {
        let done = total - step.t;
        // `n` moments, evenly spread, including the last one.
        let chosen =
            |n: usize| done == total || ((done - 1) * n / total != done * n / total);
        let columns = columns(step.next.shape().0);
        if args.trajectory.is_some() && chosen(FRAMES) {
            let frame = figures::image_grid(&step.next, columns, args.scale as usize);
            self.frames.push(frame);
        }
        if args.x0_strip.is_some() && chosen(COLUMNS) {
            self.predictions.push(step.x0.as_vec());
        }
    }

    fn save(
        &self,
        args: &Args,
        device: &AutoDevice,
        shape: [usize; 3],
    ) -> anyhow::Result<()> {
        if let Some(path) = &args.trajectory {
            figures::save_gif(path, &self.frames, 80)?;
            cli::println!("wrote {}", path.display());
        }
        if let Some(path) = &args.x0_strip {
            let size: usize = shape.iter().product();
            let rows = self.predictions[0].len() / size;
            let mut values = Vec::new();
            for row in 0..rows {
                for moment in &self.predictions {
                    values.extend_from_slice(&moment[row * size..][..size]);
                }
            }
            let strip = ops::tensor(
                device,
                values,
                (rows * self.predictions.len(), shape[0], shape[1], shape[2]),
            );
            save(
                path,
                &figures::image_grid(
                    &strip,
                    self.predictions.len(),
                    args.scale as usize,
                ),
            )?;
        }
        Ok(())
    }
}
