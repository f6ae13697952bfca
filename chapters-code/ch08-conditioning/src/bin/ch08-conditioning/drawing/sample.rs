//! The commands that draw from nothing but noise: `sample` and `scales`.

use std::path::PathBuf;

use anyhow::Context;
use ch07_ddim::flags::SolverArgs;
use ch08_conditioning::flags::guidance_scale;
use ch08_conditioning::Condition;

use super::Common;

#[derive(clap::Args)]
pub struct SampleArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    solver: SolverArgs,
    /// How strongly to insist on what is asked for: 0 means not at all, 1 as much as in training
    #[arg(
        long,
        default_value_t = 1.5,
        value_parser = guidance_scale,
        allow_negative_numbers = true,
    )]
    guidance_scale: f64,
    /// How many images to draw
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Prompts from a file, one per line; one image is drawn for each
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prompt", "label", "count"])]
    prompts: Option<PathBuf>,
    /// The grid of images to write (PNG)
    #[arg(long, default_value = "samples.png")]
    out: PathBuf,
}

/// Draws what is asked for.
pub fn sample(args: SampleArgs) -> anyhow::Result<()> {
    let ready = args.common.open(&args.out)?;
    let conditions = match &args.prompts {
        Some(path) => {
            let text = files::read(path)?;
            let text = String::from_utf8(text)
                .with_context(|| format!("{} is not text", path.display()))?;
            let lines =
                text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let read = |(i, line)| {
                ready
                    .read(line)
                    .with_context(|| format!("{}, line {}", path.display(), i + 1))
            };
            let conditions: Vec<Condition> =
                lines.map(read).collect::<anyhow::Result<_>>()?;
            anyhow::ensure!(
                !conditions.is_empty(),
                "{} holds no prompt",
                path.display()
            );
            conditions
        }
        None => vec![args.common.condition(&ready)?; args.count as usize],
    };
    let (count, steps) = (conditions.len(), args.common.steps);
    let columns = (count as f64).sqrt().ceil() as usize;
    ready.check_grid(count, columns, args.common.scale)?;
    let start = std::time::Instant::now();
    let drawn = ready.draw_from_noise(
        &args.common,
        &args.solver,
        &conditions,
        args.guidance_scale,
    )?;
    cli::println!(
        "{count} images in {steps} steps each: {:.2} images/s",
        count as f64 / start.elapsed().as_secs_f64()
    );
    ready.save(&args.out, drawn, columns, args.common.scale)
}

#[derive(clap::Args)]
pub struct ScalesArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    solver: SolverArgs,
    /// Guidance scales, a row for each
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [0.0, 1.0, 2.0, 4.0, 8.0],
        value_parser = guidance_scale,
    )]
    guidance_scales: Vec<f64>,
    /// How many images to draw in each row
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    count: u32,
    /// The picture to write (PNG)
    #[arg(long, default_value = "scales.png")]
    out: PathBuf,
}

/// Draws from the same noise with several guidance scales.
pub fn scales(args: ScalesArgs) -> anyhow::Result<()> {
    let ready = args.common.open(&args.out)?;
    let count = args.count as usize;
    ready.check_grid(count * args.guidance_scales.len(), count, args.common.scale)?;
    let conditions = vec![args.common.condition(&ready)?; count];
    let mut rows = Vec::new();
    for &scale in &args.guidance_scales {
        rows.extend(ready.draw_from_noise(
            &args.common,
            &args.solver,
            &conditions,
            scale,
        )?);
    }
    cli::println!("rows: guidance scale {:?}", args.guidance_scales);
    ready.save(&args.out, rows, count, args.common.scale)
}
