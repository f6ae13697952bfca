//! The project of chapter 4: which skips matter, and when.

use std::process::ExitCode;

use ch01_tensors::{batch, Cats, Split};
use ch03_forward::{rng, standard_normal};
use ch04_unet::model_dir;
use cli::Project;
use dfdx::prelude::*;
use figures::{palette, Axes};
use ops::AutoDevice;

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

/// How many cats each measurement uses.
const CATS: usize = 32;
const SEEDS: u64 = 3;

fn draw(project: Project) -> anyhow::Result<()> {
    let without_skips =
        if project.mine { answers::without_skips } else { solutions::without_skips };
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let model = model_dir::load(&device, &cli::shipped("cats"))?;
    let cats: Vec<usize> = (0..CATS).collect();
    let x0 = batch(&device, &Cats::new(Split::HeldOut), &cats);
    // The mean squared change in the network's answer.
    let change = |stage: &str, t: usize, seed: u64| {
        let eps = standard_normal(&device, *x0.shape(), &mut rng(seed, t as u64));
        let x_t = model.diffusion.q_sample(&x0, &[t; CATS], &eps);
        let whole = model.network.forward(x_t.clone(), &[t; CATS]);
        let cut = without_skips(&model.network, &x_t, t, stage);
        (whole - cut).square().mean::<Rank0, _>().as_vec()[0] as f64
    };
    let stages = [
        ("up_blocks.2", "16×16", palette::NOISE),
        ("up_blocks.1", "8×8", palette::SIGNAL),
        ("up_blocks.0", "4×4", palette::PREDICTION),
    ];
    let series = stages.map(|(stage, name, color)| {
        let changes =
            |t: usize| (0..SEEDS).map(|seed| change(stage, t, seed)).collect();
        let timesteps = (50..1000).step_by(100);
        figures::measured(name, color, timesteps.map(|t| (t as f64, changes(t))))
    });
    let axes = Axes::new("timestep", "change of the answer").log_y();
    figures::spread_plot("without_skips.svg", &axes, &series)?;
    cli::println!("wrote without_skips.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
