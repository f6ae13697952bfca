//! How far apart two crowds of *real* cats are, by the number of cats in one of them.

use ch01_tensors::cats;
use ch09_evaluation::{classifier, frechet_distance, kernel_distance, Spread};
use figures::{palette, Axes, Series};

const COUNTS: [usize; 6] = [100, 200, 500, 1000, 2000, 5000];
const CROWDS: u64 = 5;
const REFERENCE: usize = 10_000;

/// A distance between two crowds, computed from their features.
type Distance = fn(&[Vec<f64>], &[Vec<f64>]) -> f64;

/// Fresh cats: each seed has a data set of its own.
fn crowd(seed: u64, count: usize) -> Vec<Vec<f32>> {
    let cat = |i| {
        let (attributes, pose) = cats::nth(seed, i);
        cats::draw(&attributes, &pose)
    };
    (0..count as u64).map(cat).collect()
}

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device = cli::device(0)?;
    let reader = classifier::load(&device, &cli::shipped("classifier-cats"))?;
    let features =
        |images: &[Vec<f32>]| classifier::features_of(&device, &reader, images);
    let reference = features(&crowd(100, REFERENCE));
    let crowds: Vec<_> =
        (0..CROWDS).map(|seed| features(&crowd(101 + seed, COUNTS[5]))).collect();

    // ANCHOR: how_many
    let (mut points, mut deviations) = (Vec::new(), Vec::new());
    for count in COUNTS {
        let spread = |distance: Distance| {
            let all = crowds.iter().map(|crowd| distance(&crowd[..count], &reference));
            Spread::from_values(&all.collect::<Vec<_>>())
        };
        let (frechet, kernel) = (spread(frechet_distance), spread(kernel_distance));
        cli::println!("{count:>5} real cats: Fréchet {frechet:.2}, kernel {kernel:.3}");
        points.push((count as f64, frechet.mean));
        deviations.push(frechet.deviation);
    }
    // ANCHOR_END: how_many
    let real = Series { name: "real cats".into(), points, color: palette::DATA };
    let axes = Axes::new("number of cats", "Fréchet distance").log_x().log_y();
    figures::spread_plot("how_many.svg", &axes, &[(real, deviations)])?;
    cli::println!("wrote how_many.svg");
    Ok(())
}
