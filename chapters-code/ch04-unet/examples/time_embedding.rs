//! The time embedding as pictures: how it should be, and two ways in which timesteps
//! become hard to tell apart.

use ch04_unet::time_embedding;
use figures::{grid, save_png, Picture};
use ops::{AutoDevice, Rows};

/// Numbers per timestep, and how many timesteps lie between neighbouring columns.
const WIDTH: usize = 32;
const EVERY: usize = 5;

/// Columns of numbers, one for each timestep, as a picture: -1 is black, 1 is white.
fn picture(columns: &[f32]) -> Vec<f32> {
    let count = columns.len() / WIDTH;
    (0..columns.len()).map(|i| columns[i % count * WIDTH + i / count]).collect()
}

fn main() -> Result<(), figures::FigureError> {
    let device: AutoDevice = cli::device(0).expect("a device");
    let timesteps: Vec<usize> = (0..1000).step_by(EVERY).collect();
    let right: Rows<AutoDevice> = time_embedding(&device, &timesteps, WIDTH, true, 0.0);
    // ANCHOR: mistakes
    // t / T in place of t: nearly all angles are close to 0.
    let divided: Vec<f32> = timesteps
        .iter()
        .flat_map(|&t| column(t as f64 / 1000.0, |k| 1e4f64.powf(-(k as f64) / 16.0)))
        .collect();
    // One frequency for all numbers: the same wave again and again, and nothing says
    // which cycle t is in.
    let one: Vec<f32> =
        timesteps.iter().flat_map(|&t| column(t as f64, |_| 0.1)).collect();
    // ANCHOR_END: mistakes
    let show = |file: &str, all: &[Vec<f32>]| {
        let pictures: Vec<Picture> = all
            .iter()
            .map(|values| Picture {
                values,
                channels: 1,
                height: WIDTH,
                width: timesteps.len(),
            })
            .collect();
        save_png(file, &grid(&pictures, 1, 3))
    };
    let right = picture(&right.as_vec());
    show("time_embedding.png", std::slice::from_ref(&right))?;
    show("time_embedding_mistakes.png", &[right, picture(&divided), picture(&one)])
}

/// Cosines, then sines, of `t` times each frequency.
fn column(t: f64, frequency: impl Fn(usize) -> f64) -> Vec<f32> {
    let angles: Vec<f64> = (0..WIDTH / 2).map(|k| t * frequency(k)).collect();
    angles
        .iter()
        .map(|a| a.cos() as f32)
        .chain(angles.iter().map(|a| a.sin() as f32))
        .collect()
}
