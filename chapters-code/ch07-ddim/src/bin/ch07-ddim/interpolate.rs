//! A film from image to image.

use std::path::PathBuf;

use anyhow::Context;
use ch06_sampling::{denoiser, noise_per_image, program, sources, walk};
use ch07_ddim::{slerp, Ddim};
use cli::progress::Progress;
use ops::{AutoDevice, Images};

use crate::Common;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// How many images the film visits before it returns to the first
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=1000))]
    count: u32,
    /// Frames from one image to the next
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000))]
    frames: u32,
    /// Determines the images: the same ones as without `interpolate`
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many timesteps to visit
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// The film to write (GIF)
    #[arg(long, default_value = "film.gif")]
    out: PathBuf,
}

/// If no fresh noise is added, each sample of noise leads to exactly one image, and samples near
/// each other lead to images near each other.
pub fn run(args: &Args) -> anyhow::Result<()> {
    cli::outputs([("--out", &args.out, "gif")])?;
    let (device, model, name) = args.common.open()?;
    let [channels, height, width] =
        model.image_shape(None).with_context(|| name.clone())?;
    let frames = args.count as usize * args.frames as usize;
    figures::check_film(
        frames,
        1,
        1,
        [channels, height, width],
        args.common.scale as usize,
    )?;
    let together = args.frames as usize;
    program::check_memory(
        model.network.config(),
        [channels, height, width],
        frames,
        together,
    )?;
    let timesteps = args.common.timesteps(&model, args.steps)?;
    let noises: Vec<_> = (0..args.count as u64)
        .map(|image| {
            noise_per_image(
                &device,
                (1, channels, height, width),
                &mut sources(args.seed, image..image + 1),
            )
        })
        .collect();
    let denoise = denoiser(&device, &model.network);
    let mut progress = Progress::new((args.count * args.frames) as u64, 0);
    let mut film = Vec::new();
    for (i, from) in noises.iter().enumerate() {
        let to = &noises[(i + 1) % noises.len()];
        let between: Vec<f32> = (0..args.frames)
            .flat_map(|frame| {
                slerp(from, to, frame as f64 / args.frames as f64).as_vec()
            })
            .collect();
        let count = args.frames as usize;
        let x: Images<AutoDevice> =
            ops::tensor(&device, between, (count, channels, height, width));
        let ddim = Ddim::for_model(&model, 0.0);
        let images = walk(ddim, x, &timesteps, vec![], &denoise).finish().as_vec();
        for values in images.chunks(channels * height * width) {
            let picture = figures::Picture { values, channels, height, width };
            film.push(figures::grid(&[picture], 1, args.common.scale as usize));
        }
        progress.update(((i + 1) * count) as u64, || {
            format!("{} of {} transitions", i + 1, noises.len())
        });
    }
    progress.finish();
    figures::save_gif(&args.out, &film, 60)?;
    cli::println!("wrote {}", args.out.display());
    Ok(())
}
