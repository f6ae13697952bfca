//! Images of a data set, back to noise and forward again.

use std::path::PathBuf;

use anyhow::Context;
use ch01_tensors::{DataArgs, Split};
use ch06_sampling::{denoiser, program, walk};
use ch07_ddim::{psnr, Ddim};

use crate::Common;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    data: DataArgs,
    /// How many held-out images to take
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    count: u32,
    /// How many timesteps to visit each way; every number adds two rows
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [10, 20, 50, 200],
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    steps: Vec<u32>,
    /// The picture to write (PNG): the images, then, for every number of steps, the noise and what
    /// it leads to
    #[arg(long, default_value = "inversion.png")]
    out: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    cli::outputs([("--out", &args.out, "png")])?;
    let (device, model, name) = args.common.open()?;
    let data = args.data.open(Split::HeldOut)?;
    cli::notes(data.notes());
    let shape = data.shape();
    let wanted = model.image_shape(None).with_context(|| name.clone())?;
    anyhow::ensure!(
        shape == wanted,
        "{} images are {shape:?}, but {} was trained on {wanted:?} (--dataset)",
        data.name(),
        name
    );
    let count = (args.count as usize).min(data.len());
    program::check_memory(model.network.config(), shape, count, count)?;
    figures::check_grid(
        count * (1 + 2 * args.steps.len()),
        count,
        shape,
        args.common.scale as usize,
    )?;
    let images =
        ch01_tensors::batch(&device, data.as_ref(), &(0..count).collect::<Vec<_>>());
    let denoise = denoiser(&device, &model.network);
    // What has been clipped cannot be led back.
    let ddim = Ddim { clip: None, ..Ddim::for_model(&model, 0.0) };
    let mut rows = vec![images.clone()];
    for &steps in &args.steps {
        let timesteps = args.common.timesteps(&model, steps)?;
        let start = std::time::Instant::now();
        let noise = ddim.invert(images.clone(), &timesteps, &denoise);
        let walk = walk(ddim.clone(), noise.clone(), &timesteps, vec![], &denoise);
        let back = walk.finish();
        let (decibels, seconds) = (psnr(&images, &back), start.elapsed().as_secs_f64());
        let (_, deviation) = ch01_tensors::statistics(&noise);
        let (variance, seconds) = (deviation.powi(2), seconds / count as f64);
        cli::println!(
            "{steps} steps: {decibels:.0} dB, variance of the noise {variance:.2}, \
            {seconds:.2} s per image"
        );
        rows.extend([noise, back]);
    }
    figures::save_png(
        &args.out,
        &figures::image_rows(&rows, args.common.scale as usize),
    )?;
    cli::println!("wrote {}", args.out.display());
    Ok(())
}
