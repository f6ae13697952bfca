//! The project of chapter 1: cats from outside a data set, and the images that come nearest to them
//! as the data set grows.

use std::process::ExitCode;

use ch01_tensors::cats::attributes_of;
use ch01_tensors::{Cats, Dataset, Split};
use cli::Project;
use figures::Picture;

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

/// Cats side by side.
const COUNT: usize = 8;
/// Sizes of data sets.
const SIZES: [usize; 4] = [10, 100, 1000, 10_000];

fn draw(project: Project) -> anyhow::Result<()> {
    let nearest = if project.mine { answers::nearest } else { solutions::nearest };
    let (training, heldout) = (Cats::new(Split::Train), Cats::new(Split::HeldOut));
    let cats: Vec<Vec<f32>> = (0..COUNT).map(|index| heldout.image(index)).collect();
    let mut shown = cats.clone();
    for size in SIZES {
        let found = cats.iter().map(|cat| nearest(cat, &training, size));
        let (indices, differences): (Vec<usize>, Vec<f32>) = found.unzip();
        let mean = differences.iter().sum::<f32>() / COUNT as f32;
        let found: Vec<Vec<f32>> = indices.iter().map(|&i| training.image(i)).collect();
        let same = cats.iter().zip(&found).filter(|(cat, found)| {
            let [cat, found] = [cat, found].map(|image| attributes_of(image));
            (cat.fur, cat.eyes, cat.ears) == (found.fur, found.eyes, found.ears)
        });
        cli::println!(
            "nearest of {size}: mean squared difference {mean:.3}; same fur, eyes and ears: \
            {} of {COUNT}",
            same.count()
        );
        shown.extend(found);
    }
    let [channels, height, width] = training.shape();
    let picture = |values| Picture { values, channels, height, width };
    let pictures: Vec<Picture> = shown.iter().map(|cat| picture(cat)).collect();
    figures::save_png("nearest.png", &figures::grid(&pictures, COUNT, 5))?;
    cli::println!("wrote nearest.png");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
