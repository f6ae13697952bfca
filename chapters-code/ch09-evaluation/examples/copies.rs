//! The project of chapter 9: a model that only copies its training images, and a measure
//! that catches it.

use std::process::ExitCode;

use ch01_tensors::{Cats, Dataset, Split};
use ch03_forward::{gaussian, rng};
use cli::Project;
use figures::{palette, Axes};

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

/// Images in each crowd.
const CATS: usize = 500;
const SEEDS: usize = 3;
/// The deviations of the noise under which the copyist hides.
const NOISE: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0];

fn draw(project: Project) -> anyhow::Result<()> {
    let share = if project.mine {
        answers::nearer_to_training
    } else {
        solutions::nearer_to_training
    };
    let cats = Cats::new(Split::Train);
    let crowd = |number: usize| -> Vec<Vec<f32>> {
        (number * CATS..(number + 1) * CATS).map(|index| cats.image(index)).collect()
    };
    // Each seed has cats of its own: some for training, some held out, and some drawn by an honest
    // artist.
    let crowds: Vec<[Vec<Vec<f32>>; 3]> =
        (0..SEEDS).map(|seed| [0, 1, 2].map(|i| crowd(3 * seed + i))).collect();
    let noisy = |seed: usize, images: &[Vec<f32>], deviation: f32| -> Vec<Vec<f32>> {
        let mut rng = rng(seed as u64, 0);
        let mut noise = gaussian(&mut rng);
        let mut pixel = |x: &f32| x + deviation * noise.next().expect("endless");
        images.iter().map(|image| image.iter().map(&mut pixel).collect()).collect()
    };
    let measure = |copies: bool| {
        let crowds = &crowds;
        let shares = move |deviation: f32| {
            let share =
                |(seed, [training, heldout, honest]): (usize, &[Vec<Vec<f32>>; 3])| {
                    let source = if copies { training } else { honest };
                    share(&noisy(seed, source, deviation), training, heldout)
                };
            crowds.iter().enumerate().map(share).collect()
        };
        NOISE.map(|deviation| (deviation as f64, shares(deviation)))
    };
    let series = [
        figures::measured("copies", palette::NOISE, measure(true)),
        figures::measured("cats of their own", palette::SIGNAL, measure(false)),
    ];
    let (copies, deviations) = &series[0];
    for ((noise, share), deviation) in copies.points.iter().zip(deviations) {
        cli::println!("noise {noise:.1}: {share:.2} ± {deviation:.2} of the copies");
    }
    let axes = Axes::new("deviation of added noise", "share nearer to training");
    figures::spread_plot("copies.svg", &axes, &series)?;
    cli::println!("wrote copies.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
