//! The project of chapter 3: for how long can one tell which of two hundred cats is under the
//! noise?

use std::process::ExitCode;

use ch01_tensors::{batch, Cats, Dataset, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{gaussian, rng, Diffusion, PredictionType};
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

/// Cats to tell apart.
const CATS: usize = 200;
/// Timesteps from one measurement to the next.
const STRIDE: usize = 40;
const SEEDS: u64 = 3;

/// Where the line through these points, which falls, first crosses `height`.
fn crossing(points: &[(f64, f64)], height: f64) -> Option<f64> {
    let mut pieces = points.windows(2).map(|piece| (piece[0], piece[1]));
    let ((left, above), (right, below)) = pieces.find(|(_, end)| end.1 < height)?;
    Some(left + (right - left) * (above - height) / (above - below))
}

fn draw(project: Project) -> anyhow::Result<()> {
    let posterior =
        if project.mine { answers::posterior } else { solutions::posterior };
    let cats = Cats::new(Split::Train);
    let candidates: Vec<Vec<f32>> = (0..CATS).map(|index| cats.image(index)).collect();
    let device: AutoDevice = cli::device(0)?;
    let numbers: Vec<usize> = (0..CATS).collect();
    let x0 = batch(&device, &cats, &numbers);
    // The share of cats that are the most probable candidate for their own x_t.
    let share = |diffusion: &Diffusion, t: usize, seed: u64| {
        let mut eps = Vec::new();
        for (cat, image) in (0..).zip(&candidates) {
            eps.extend(gaussian(&mut rng(seed, cat)).take(image.len()));
        }
        let eps = ops::tensor(&device, eps, *x0.shape());
        let x_t = diffusion.q_sample(&x0, &[t; CATS], &eps).as_vec();
        let images = x_t.chunks(x_t.len() / CATS).enumerate();
        let recognised = images.filter(|(cat, x_t)| {
            let probabilities = posterior(&diffusion.schedule, t, x_t, &candidates);
            (0..CATS).all(|other| {
                other == *cat || probabilities[other] < probabilities[*cat]
            })
        });
        recognised.count() as f64 / CATS as f64
    };

    let kinds = [
        ("linear", BetaSchedule::Linear, palette::NOISE),
        ("cosine", BetaSchedule::SquaredcosCapV2, palette::SIGNAL),
    ];
    let series = kinds.map(|(name, kind, color)| {
        let schedule = Schedule::new(kind, 1000);
        let prediction_type = PredictionType::Epsilon;
        let diffusion = Diffusion { schedule, prediction_type };
        let shares =
            |t: usize| (0..SEEDS).map(|seed| share(&diffusion, t, seed)).collect();
        let timesteps = (STRIDE - 1..1000).step_by(STRIDE);
        let (series, deviations) =
            figures::measured(name, color, timesteps.map(|t| (t as f64, shares(t))));
        for least in [0.99, 0.5, 0.05] {
            let t = crossing(&series.points, least).expect("all is lost in the end");
            cli::println!(
                "{name}: below {:.0} % from timestep {t:.0} on",
                100.0 * least
            );
        }
        (series, deviations)
    });
    let axes = Axes::new("timestep", "share recognised");
    figures::spread_plot("eavesdrop.svg", &axes, &series)?;
    cli::println!("wrote eavesdrop.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
