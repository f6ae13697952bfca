//! The same noise with different numbers of steps.

use std::path::PathBuf;

use anyhow::Context;
use ch06_sampling::{denoiser, noise_per_image, program, sources, walk};
use ch07_ddim::flags::SolverArgs;

use crate::Common;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    solver: SolverArgs,
    /// How many images to draw in each row
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,
    /// Determines the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many timesteps to visit, for each row
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [5, 10, 20, 50],
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    steps: Vec<u32>,
    /// The picture to write (PNG)
    #[arg(long, default_value = "steps.png")]
    out: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    cli::outputs([("--out", &args.out, "png")])?;
    let (device, model, name) = args.common.open()?;
    let [channels, height, width] =
        model.image_shape(None).with_context(|| name.clone())?;
    let count = args.count as usize;
    program::check_memory(
        model.network.config(),
        [channels, height, width],
        count,
        count,
    )?;
    figures::check_grid(
        count * args.steps.len(),
        count,
        [channels, height, width],
        args.common.scale as usize,
    )?;
    let denoise = denoiser(&device, &model.network);
    let (mut rows, mut seconds) = (Vec::new(), Vec::new());
    for &steps in &args.steps {
        let timesteps = args.common.timesteps(&model, steps)?;
        let mut rngs = sources(args.seed, 0..count as u64);
        let x = noise_per_image(&device, (count, channels, height, width), &mut rngs);
        let start = std::time::Instant::now();
        let solver = args.solver.for_model(&model).with_context(|| name.clone())?;
        let images = walk(solver, x, &timesteps, rngs, &denoise).finish();
        program::check_finite(&images).with_context(|| name.clone())?;
        seconds.push(start.elapsed().as_secs_f64() / count as f64);
        rows.push(images);
    }
    let (last, most) = (rows[rows.len() - 1].clone(), args.steps[args.steps.len() - 1]);
    for ((steps, images), seconds) in args.steps.iter().zip(&rows).zip(seconds) {
        let (_, difference) =
            ch01_tensors::statistics(&(images.clone() - last.clone()));
        cli::println!(
            "{steps} steps: {difference:.3} from those of {most}, {seconds:.3} s per \
            image"
        );
    }
    figures::save_png(
        &args.out,
        &figures::image_rows(&rows, args.common.scale as usize),
    )?;
    cli::println!("wrote {}", args.out.display());
    Ok(())
}
