//! Shows images drowning in noise, and shows that one jump does the work of many steps.

use std::path::PathBuf;

use ch01_tensors::{DataArgs, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use clap::Parser;
use dfdx::prelude::*;
use figures::{palette, Axes};

/// Noise some images, step by step and in one jump
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// How fast the noise grows
    #[arg(long, value_enum, default_value = "linear")]
    schedule: BetaSchedule,
    /// How many steps of noise there are
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    num_timesteps: u32,
    /// The timesteps to show (default: ten, evenly spread)
    #[arg(long, value_delimiter = ',')]
    timesteps: Vec<u32>,
    /// How many images to show
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The strip of ever noisier images to write (PNG)
    #[arg(long, default_value = "noising.png")]
    out: PathBuf,
    /// The histograms of pixel values to write (SVG)
    #[arg(long, default_value = "histograms.svg")]
    histograms: PathBuf,
}

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| {
        cli::outputs([
            ("--out", &args.out, "png"),
            ("--histograms", &args.histograms, "svg"),
        ])?;
        let total = args.num_timesteps as usize;
        let diffusion = Diffusion {
            schedule: Schedule::new(args.schedule, total),
            prediction_type: PredictionType::Epsilon,
        };
        let shown: Vec<usize> = match args.timesteps.as_slice() {
            [] => {
                let columns = 10.min(total);
                (0..columns).map(|i| i * (total - 1) / (columns - 1).max(1)).collect()
            }
            given => given.iter().map(|&t| t as usize).collect(),
        };
        if let Some(t) = shown.iter().find(|&&t| t >= total) {
            anyhow::bail!(
                "--timesteps {t}: the schedule has timesteps 0 to {} (see \
                --num-timesteps)",
                total - 1
            );
        }
        let dataset = args.data.open(Split::Train)?;
        cli::notes(dataset.notes());
        let device = cli::device(args.seed)?;
        let indices: Vec<usize> =
            (0..(args.count as usize).min(dataset.len())).collect();
        let mut order = shown.clone();
        order.sort_unstable();
        order.dedup();
        let scale = (96 / dataset.shape()[2]).clamp(1, 8);
        figures::check_grid(
            indices.len() * order.len(),
            order.len(),
            dataset.shape(),
            scale,
        )?;
        let x0 = ch01_tensors::batch(&device, dataset.as_ref(), &indices);
        let eps = standard_normal(&device, *x0.shape(), &mut rng(args.seed, 0));

        // One row per image, one column per timestep.
        let per_image = x0.shape().1 * x0.shape().2 * x0.shape().3;
        let mut rows = vec![Vec::new(); indices.len()];
        let mut curves = Vec::new();
        cli::println!(
            "{:>8} {:>10} {:>12} {:>18}",
            "timestep",
            "alpha_bar",
            "jump mean/sd",
            "chain mean/sd"
        );
        let mut chain = x0.clone();
        let mut noise = rng(args.seed, 1);
        let mut done = 0;
        for &t in &order {
            let x_t = diffusion.q_sample(&x0, &vec![t; indices.len()], &eps);
            while done <= t {
                let eps = standard_normal(&device, *x0.shape(), &mut noise);
                chain = diffusion.q_step(&chain, done, &eps);
                done += 1;
            }
            let ((m1, s1), (m2, s2)) =
                (ch01_tensors::statistics(&x_t), ch01_tensors::statistics(&chain));
            cli::println!(
                "{t:>8} {:>10.5} {m1:>6.3}/{s1:.3} {m2:>12.3}/{s2:.3}",
                diffusion.schedule.alpha_bar[t]
            );
            let values = x_t.as_vec();
            for (row, image) in rows.iter_mut().zip(values.chunks(per_image)) {
                row.extend_from_slice(image);
            }
            curves.push((format!("t = {t}"), values));
        }
        let shape =
            (indices.len() * order.len(), x0.shape().1, x0.shape().2, x0.shape().3);
        let strip = ops::tensor(&device, rows.concat(), shape);
        figures::save_png(&args.out, &figures::image_grid(&strip, order.len(), scale))?;
        let chosen = [0, curves.len() / 3, curves.len() * 2 / 3, curves.len() - 1];
        let mut sets: Vec<_> = chosen
            .iter()
            .zip(palette::SERIES)
            .map(|(&i, c)| (curves[i].0.clone(), curves[i].1.clone(), c))
            .collect();
        sets.dedup_by(|a, b| a.0 == b.0);
        figures::line_plot(
            &args.histograms,
            &Axes::new("value of a pixel", "density"),
            &figures::densities((-3.5, 3.5), 70, &sets),
        )?;
        cli::println!("wrote {} and {}", args.out.display(), args.histograms.display());
        Ok(())
    })
}
