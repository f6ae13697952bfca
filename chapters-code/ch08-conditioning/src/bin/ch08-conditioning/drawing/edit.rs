//! The commands that change an image: `vary` and `inpaint`.

use std::path::PathBuf;

use ch01_tensors::{read_image, Color};
use ch06_sampling::{noise_per_image, walk};
use ch07_ddim::flags::{SolverArgs, SolverKind};
use ch07_ddim::Ddim;
use ch08_conditioning::flags::guidance_scale;
use ch08_conditioning::{from_image, Inpaint};

use super::Common;

#[derive(clap::Args)]
pub struct VaryArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    solver: SolverArgs,
    /// How strongly to insist on what is asked for
    #[arg(
        long,
        default_value_t = 1.5,
        value_parser = guidance_scale,
        allow_negative_numbers = true,
    )]
    guidance_scale: f64,
    /// The image to begin with (PNG, JPEG, …); it is cropped and scaled to the model's
    /// size, and put on white if transparent
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// How much of the image to give up, from 0 to 1; every number makes a row
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [0.2, 0.4, 0.6, 0.8],
        value_parser = strength,
        allow_negative_numbers = true,
    )]
    strength: Vec<f64>,
    /// How many images to draw in each row
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,
    /// The picture to write (PNG): the image, then the rows
    #[arg(long, default_value = "varied.png")]
    out: PathBuf,
}

fn strength(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(strength) if (0.0..=1.0).contains(&strength) => Ok(strength),
        _ => Err("a strength must be a number from 0 to 1".into()),
    }
}

/// Image to image.
pub fn vary(args: VaryArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.solver.solver == SolverKind::Ddim,
        "--solver: only ddim can vary images"
    );
    let ready = args.common.open(&args.out)?;
    let image = read_image(&args.image, ready.shape, Color::WHITE)?;
    let count = args.count as usize;
    ready.check_grid(count * (1 + args.strength.len()), count, args.common.scale)?;
    let conditions = vec![args.common.condition(&ready)?; count];
    let negative = args.common.negative(&ready)?;
    let mut rows = image.values.repeat(count);
    for &strength in &args.strength {
        rows.extend(ready.draw(
            &conditions,
            &negative,
            args.guidance_scale,
            args.common.seed,
            |guidance, rngs| {
                let images = ready.images(image.values.repeat(rngs.len()));
                let denoise = guidance.denoiser(&ready.device, &ready.model.network);
                let ddim = Ddim::for_model(&ready.model, args.solver.eta);
                let walk =
                    from_image(ddim, images, strength, &ready.timesteps, rngs, denoise);
                Ok(walk.finish())
            },
        )?);
    }
    ready.save(&args.out, rows, count, args.common.scale)
}

#[derive(clap::Args)]
pub struct InpaintArgs {
    #[command(flatten)]
    common: Common,
    /// How strongly to insist on what is asked for
    #[arg(
        long,
        default_value_t = 1.5,
        value_parser = guidance_scale,
        allow_negative_numbers = true,
    )]
    guidance_scale: f64,
    /// The image to change (PNG, JPEG, …); it is cropped and scaled to the model's size, and put on
    /// white if transparent
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    /// Where to draw anew: an image of the same size, white there and black or
    /// transparent elsewhere
    #[arg(long, value_name = "FILE")]
    mask: PathBuf,
    /// How many times to take each step, so that new and old fit together
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    resamplings: u32,
    /// How many images to draw
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// The picture to write (PNG): the image, the mask, and what was drawn
    #[arg(long, default_value = "inpainted.png")]
    out: PathBuf,
}

/// Draws a part of an image anew.
pub fn inpainting(args: InpaintArgs) -> anyhow::Result<()> {
    let ready = args.common.open(&args.out)?;
    let [channels, height, width] = ready.shape;
    let shown = args.count as usize + 2;
    let columns = (shown as f64).sqrt().ceil() as usize;
    ready.check_grid(shown, columns, args.common.scale)?;
    let image = read_image(&args.image, ready.shape, Color::WHITE)?;
    let mask = read_image(&args.mask, [1, height, width], Color::BLACK)?;
    anyhow::ensure!(
        mask.size == image.size,
        "{} is {}x{} pixels, but {} is {}x{}: the mask must be the same size as the image",
        args.mask.display(),
        mask.size[1],
        mask.size[0],
        args.image.display(),
        image.size[1],
        image.size[0]
    );
    // From [-1, 1] to 0 or 1, for every channel.
    let repaint: Vec<f32> =
        mask.values.repeat(channels).iter().map(|&v| (v > 0.0) as u8 as f32).collect();
    anyhow::ensure!(
        repaint.contains(&1.0),
        "{} is black or transparent everywhere, so nothing would be drawn anew: \
         make it white where you want something else",
        args.mask.display()
    );
    let conditions = vec![args.common.condition(&ready)?; args.count as usize];
    let negative = args.common.negative(&ready)?;
    let mut shown = [image.values.clone(), mask.values.repeat(channels)].concat();
    shown.extend(ready.draw(
        &conditions,
        &negative,
        args.guidance_scale,
        args.common.seed,
        |guidance, mut rngs| {
            let inpaint = Inpaint {
                ddim: Ddim::for_model(&ready.model, 1.0),
                image: ready.images(image.values.repeat(rngs.len())),
                mask: ready.images(repaint.repeat(rngs.len())),
                resamplings: args.resamplings as usize,
            };
            let shape = (rngs.len(), channels, height, width);
            let noise = noise_per_image(&ready.device, shape, &mut rngs);
            let denoise = guidance.denoiser(&ready.device, &ready.model.network);
            Ok(walk(inpaint, noise, &ready.timesteps, rngs, denoise).finish())
        },
    )?);
    ready.save(&args.out, shown, columns, args.common.scale)
}
