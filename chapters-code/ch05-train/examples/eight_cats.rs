//! The project of chapter 5: eight cats, learnt by heart.

use std::process::ExitCode;

use ch01_tensors::{batch, Cats, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch04_unet::{Preset, UNet};
use ch05_train::{l_simple, Optimizer, OptimizerConfig};
use cli::Project;
use dfdx::prelude::*;
use figures::{palette, Axes};
use ops::{AutoDevice, Images};
use rand_chacha::ChaCha8Rng;

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

const STEPS: u64 = 1500;
/// The loss is measured every `EVERY` steps, on `IMAGES` images with fresh noise.
const EVERY: u64 = 100;
const IMAGES: usize = 64;
const SEEDS: u64 = 3;

/// The loss on some images, each at a timestep of its own; the timesteps are spread evenly.
fn loss(
    diffusion: &Diffusion,
    unet: &UNet<AutoDevice>,
    x0: &Images<AutoDevice>,
    rng: &mut ChaCha8Rng,
) -> f64 {
    let timesteps: Vec<usize> =
        (0..IMAGES).map(|i| (2 * i + 1) * 500 / IMAGES).collect();
    let eps = standard_normal(x0.device(), *x0.shape(), rng);
    let network = |x_t, timesteps: &[usize]| unet.forward(x_t, timesteps);
    let loss: Tensor<Rank0, _, _> =
        l_simple::<_, NoneTape>(diffusion, x0, &timesteps, &eps, network);
    loss.array() as f64
}

fn draw(project: Project) -> anyhow::Result<()> {
    let train_step =
        if project.mine { answers::train_step } else { solutions::train_step };
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let diffusion = Diffusion { schedule, prediction_type: PredictionType::Epsilon };
    let cats = Cats::new(Split::Train);
    let x0 = batch(&device, &cats, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let again: Vec<usize> = (0..IMAGES).map(|i| i % 8).collect();
    let others: Vec<usize> = (0..IMAGES).collect();
    let [seen, unseen] = [
        batch(&device, &cats, &again),
        batch(&device, &Cats::new(Split::HeldOut), &others),
    ];
    let (mut of_seen, mut of_unseen) = (Vec::new(), Vec::new());
    for seed in 0..SEEDS {
        let mut rng = rng(seed, 0);
        let mut unet = UNet::new(&device, &Preset::Tiny.config([3, 16, 16]), &mut rng)?;
        let config = OptimizerConfig { warmup_steps: 20, ..Default::default() };
        let mut optimizer = Optimizer::new(config, &mut unet);
        for step in 0..STEPS {
            if step % EVERY == 0 {
                of_seen.push((step, loss(&diffusion, &unet, &seen, &mut rng)));
                of_unseen.push((step, loss(&diffusion, &unet, &unseen, &mut rng)));
            }
            train_step(step, &diffusion, &mut unet, &mut optimizer, &x0, &mut rng);
        }
    }
    let series = [
        ("the eight cats", palette::PREDICTION, of_seen),
        ("held-out cats", palette::DATA, of_unseen),
    ];
    let series = series.map(|(name, color, losses)| {
        let at = |step: u64| {
            let here =
                losses.iter().filter(|(at, _)| *at == step).map(|(_, loss)| *loss);
            (step as f64, here.collect())
        };
        let steps = (0..STEPS).step_by(EVERY as usize);
        let (series, deviations) = figures::measured(name, color, steps.map(at));
        let last = deviations.len() - 1;
        let ((step, mean), deviation) = (series.points[last], deviations[last]);
        cli::println!("{name}: loss {mean:.3} ± {deviation:.3} after {step} steps");
        (series, deviations)
    });
    figures::spread_plot(
        "eight_cats.svg",
        &Axes::new("step", "loss").log_y(),
        &series,
    )?;
    cli::println!("wrote eight_cats.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
