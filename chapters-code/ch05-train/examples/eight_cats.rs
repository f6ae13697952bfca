//! The project of chapter 5: eight cats, learnt by heart.

use std::process::ExitCode;

use ch01_tensors::{batch, Cats, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, Diffusion, PredictionType};
use ch04_unet::{Preset, UNet};
use ch05_train::{Optimizer, OptimizerConfig};
use cli::Project;
use figures::{palette, Axes};
use ops::AutoDevice;

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

const STEPS: u64 = 400;
/// The loss of a step is noisy, so that of this many steps is averaged.
const MEAN_OF: usize = 20;
const SEEDS: u64 = 3;

fn draw(project: Project) -> anyhow::Result<()> {
    let train_step =
        if project.mine { answers::train_step } else { solutions::train_step };
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let diffusion = Diffusion { schedule, prediction_type: PredictionType::Epsilon };
    let x0 = batch(&device, &Cats::new(Split::Train), &[0, 1, 2, 3, 4, 5, 6, 7]);
    let mut runs = Vec::new();
    for seed in 0..SEEDS {
        let mut rng = rng(seed, 0);
        let mut unet = UNet::new(&device, &Preset::Tiny.config([3, 16, 16]), &mut rng)?;
        let config = OptimizerConfig { warmup_steps: 20, ..Default::default() };
        let mut optimizer = Optimizer::new(config, &mut unet);
        let losses: Vec<f64> = (0..STEPS)
            .map(|step| {
                train_step(step, &diffusion, &mut unet, &mut optimizer, &x0, &mut rng)
            })
            .map(f64::from)
            .collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        runs.push(losses.chunks(MEAN_OF).map(mean).collect::<Vec<f64>>());
    }
    let points = (0..runs[0].len()).map(|i| {
        let step = (i * MEAN_OF + MEAN_OF / 2) as f64;
        (step, runs.iter().map(|losses| losses[i]).collect())
    });
    let loss = figures::measured("eight cats", palette::PREDICTION, points);
    for step in [0, loss.0.points.len() - 1] {
        let ((at, mean), deviation) = (loss.0.points[step], loss.1[step]);
        cli::println!("around step {at}: {mean:.2} ± {deviation:.2}");
    }
    figures::spread_plot(
        "eight_cats.svg",
        &Axes::new("step", "loss").log_y(),
        &[loss],
    )?;
    cli::println!("wrote eight_cats.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
