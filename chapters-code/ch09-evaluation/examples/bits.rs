//! How many bits a real cat costs under the model that comes with the book, and at
//! which timesteps.

use ch01_tensors::{batch, from_byte, to_byte, Cats, Split};
use ch02_schedule::Schedule;
use ch03_forward::{standard_normal, Purpose};
use ch04_unet::model_dir::{self, Model, VarianceType};
use ch04_unet::UNet;
use ch06_sampling::denoiser;
use ch09_evaluation::{bound_term, prior_term, Spread};
use dfdx::prelude::*;
use figures::{palette, Axes, Series};
use ops::{AutoDevice, Images};

const CATS: usize = 16;
const SEEDS: u64 = 3;

/// Held-out cats, rounded to bytes, because the bound counts the cost of bytes.
fn cats(device: &AutoDevice, seed: u64) -> Images<AutoDevice> {
    let first = seed as usize * CATS;
    let numbers: Vec<usize> = (first..first + CATS).collect();
    let exact = batch(device, &Cats::new(Split::HeldOut), &numbers);
    let bytes = exact.as_vec().into_iter().map(|value| from_byte(to_byte(value)));
    ops::tensor(device, bytes.collect(), *exact.shape())
}

// ANCHOR: bits
/// For each of the two variances: the term of the bound at every timestep, then the
/// prior term, each as a mean over the cats.
fn terms(
    device: &AutoDevice,
    model: &Model<UNet<AutoDevice>>,
    seed: u64,
) -> [Vec<f64>; 2] {
    let (diffusion, x0) = (&model.diffusion, cats(device, seed));
    let denoise = denoiser(device, &model.network);
    let mean = |bits: Vec<f64>| bits.iter().sum::<f64>() / CATS as f64;
    let mut all = [Vec::new(), Vec::new()];
    for t in 0..diffusion.schedule.len() {
        let mut rng = Purpose::Evaluation.rng(seed, 1 + t as u64);
        let eps = standard_normal(device, *x0.shape(), &mut rng);
        let x_t = diffusion.q_sample(&x0, &[t; CATS], &eps);
        let x0_pred =
            diffusion.x0(&x_t, &[t; CATS], &denoise(&x_t, t)).clamp(-1.0, 1.0);
        let kinds = [VarianceType::FixedSmall, VarianceType::FixedLarge];
        for (kind, terms) in kinds.into_iter().zip(&mut all) {
            let schedule = &diffusion.schedule;
            terms.push(mean(bound_term(schedule, kind, &x_t, t, &x0, &x0_pred)));
        }
    }
    let prior = mean(prior_term(&diffusion.schedule, &x0));
    all.map(|terms| [terms, vec![prior]].concat())
}
// ANCHOR_END: bits

/// What the last step would cost, in bits per dimension, if the guess were exact.
fn exact_guess(device: &AutoDevice, schedule: &Schedule, seed: u64) -> f64 {
    let x0 = cats(device, seed);
    let bits = bound_term(schedule, VarianceType::FixedSmall, &x0, 0, &x0, &x0);
    bits.iter().sum::<f64>() / CATS as f64
}

/// The sum of the given terms, with its spread over the measurements.
fn sums(measured: &[&Vec<f64>], terms: std::ops::Range<usize>) -> Spread {
    let sum = |all: &&Vec<f64>| all[terms.clone()].iter().sum();
    Spread::from_values(&measured.iter().map(sum).collect::<Vec<f64>>())
}

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device = cli::device(0)?;
    let model = model_dir::load(&device, &cli::shipped("cats"))?;
    let seeds: Vec<_> = (0..SEEDS).map(|seed| terms(&device, &model, seed)).collect();
    let last = model.diffusion.schedule.len();
    for (i, name) in ["fixed_small", "fixed_large"].into_iter().enumerate() {
        let measured: Vec<&Vec<f64>> = seeds.iter().map(|seed| &seed[i]).collect();
        cli::println!("{name}: {:.2} bits per dimension", sums(&measured, 0..last + 1));
        for (what, terms) in [
            ("the last step, t = 0", 0..1),
            ("t from 1 to 9", 1..10),
            ("t from 10 to 99", 10..100),
            ("t from 100 on", 100..last),
            ("the noisiest image", last..last + 1),
        ] {
            cli::println!("  {what}: {:.2}", sums(&measured, terms));
        }
    }
    let exact: Vec<f64> = (0..SEEDS)
        .map(|seed| exact_guess(&device, &model.diffusion.schedule, seed))
        .collect();
    cli::println!(
        "an exact guess in the last step: {:.2}",
        Spread::from_values(&exact)
    );
    let small: Vec<&Vec<f64>> = seeds.iter().map(|seed| &seed[0]).collect();
    let points =
        (0..last).map(|t| (1.0 + t as f64, sums(&small, t..t + 1).mean)).collect();
    let series = Series { name: "".into(), points, color: palette::PREDICTION };
    let axes = Axes::new("timestep + 1", "bits per dimension").log_x().log_y();
    figures::line_plot("bits.svg", &axes, &[series])?;
    cli::println!("wrote bits.svg");
    Ok(())
}
