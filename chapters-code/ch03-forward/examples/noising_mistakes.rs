//! A cat that drowns in noise the way it should, and in four ways it should not.

use ch01_tensors::{batch, Cats, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use dfdx::prelude::*;
use ops::AutoDevice;
use rand::Rng;

type Images = ops::Images<AutoDevice>;

type Wrong = fn(&Diffusion, &Images, usize, &Images) -> Images;

// ANCHOR: mistakes
/// Forgets the root: too little noise at the beginning, too little image later.
fn no_root(d: &Diffusion, x0: &Images, t: usize, eps: &Images) -> Images {
    let a = d.schedule.alpha_bar[t];
    x0.clone() * a as f32 + eps.clone() * (1.0 - a) as f32
}

/// Uniform noise in 0..1, as random number generators give it: its mean is not 0 and
/// its variance not 1.
fn uniform(d: &Diffusion, x0: &Images, t: usize, eps: &Images) -> Images {
    let mut rng = rng(7, t as u64);
    let values = (0..eps.shape().num_elements()).map(|_| rng.gen()).collect();
    d.q_sample(x0, &[t], &eps.device().tensor_from_vec(values, *eps.shape()))
}

/// Does not shrink the image: the values grow beyond what the network will ever see
/// when it samples.
fn not_shrunk(d: &Diffusion, x0: &Images, t: usize, eps: &Images) -> Images {
    x0.clone() + eps.clone() * (1.0 - d.schedule.alpha_bar[t]).sqrt() as f32
}

/// An image in 0..1 where -1..1 is expected: black is already grey, and everything is
/// too bright until the noise has won.
fn wrong_range(d: &Diffusion, x0: &Images, t: usize, eps: &Images) -> Images {
    d.q_sample(&(x0.clone() * 0.5 + 0.5), &[t], eps)
}
// ANCHOR_END: mistakes

fn right(d: &Diffusion, x0: &Images, t: usize, eps: &Images) -> Images {
    d.q_sample(x0, &[t], eps)
}

fn main() -> Result<(), figures::FigureError> {
    let device = cli::device(0).expect("a device");
    let diffusion = Diffusion {
        schedule: Schedule::new(BetaSchedule::Linear, 1000),
        prediction_type: PredictionType::Epsilon,
    };
    let x0 = batch(&device, &Cats::new(Split::Train), &[5]);
    let eps = standard_normal(&device, *x0.shape(), &mut rng(0, 0));
    let ways: [Wrong; 5] = [right, no_root, uniform, not_shrunk, wrong_range];
    let rows: Vec<Images> = ways
        .into_iter()
        .map(|way| {
            let strip = (0..10)
                .flat_map(|i| way(&diffusion, &x0, i * 111, &eps).as_vec())
                .collect();
            device.tensor_from_vec(strip, (10, 3, 16, 16))
        })
        .collect();
    figures::save_png("noising_mistakes.png", &figures::image_rows(&rows, 6))
}
