//! Shows a data set as a grid and says what is in it.

use std::path::PathBuf;

use clap::Parser;

/// Show a data set: a grid of its first images, and their statistics
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    data: ch01_tensors::DataArgs,
    /// How many images to show
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// The picture to write
    #[arg(long, default_value = "dataset.png")]
    out: PathBuf,
    /// How many screen pixels wide to draw each pixel
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
}

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| {
        cli::outputs([("--out", &args.out, "png")])?;
        let dataset = args.data.open(ch01_tensors::Split::Train)?;
        cli::notes(dataset.notes());
        let device = cli::device(0)?;
        let indices: Vec<usize> =
            (0..(args.count as usize).min(dataset.len())).collect();
        let columns = (args.count as f64).sqrt().ceil() as usize;
        figures::check_grid(
            indices.len(),
            columns,
            dataset.shape(),
            args.scale as usize,
        )?;
        let images = ch01_tensors::batch(&device, dataset.as_ref(), &indices);
        let (mean, deviation) = ch01_tensors::statistics(&images);
        let [channels, height, width] = dataset.shape();
        cli::println!(
            "{}: {} images of {channels}x{height}x{width}",
            dataset.name(),
            dataset.len()
        );
        cli::println!(
            "first {}: mean {mean:.3}, standard deviation {deviation:.3}, values in \
            [-1, 1]",
            indices.len()
        );
        for i in indices.iter().take(3) {
            cli::println!(
                "image {i}: label {}, \"{}\"",
                dataset.label(*i),
                dataset.caption(*i)
            );
        }
        figures::save_png(
            &args.out,
            &figures::image_grid(&images, columns, args.scale as usize),
        )?;
        cli::println!("wrote {}", args.out.display());
        Ok(())
    })
}
