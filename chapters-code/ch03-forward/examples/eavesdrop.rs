//! The project of chapter 3: how long can one tell which of two hundred cats it is?

use std::process::ExitCode;

use ch01_tensors::{Cats, Dataset, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{gaussian, rng};
use cli::Project;
use figures::{palette, Axes};

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

/// x_t for x_0 and some noise.
fn noised(schedule: &Schedule, t: usize, x0: &[f32], eps: &[f32]) -> Vec<f32> {
    let alpha_bar = schedule.alpha_bar[t];
    let (of_x0, of_eps) = (alpha_bar.sqrt() as f32, (1.0 - alpha_bar).sqrt() as f32);
    x0.iter().zip(eps).map(|(x0, eps)| of_x0 * x0 + of_eps * eps).collect()
}

fn draw(project: Project) -> anyhow::Result<()> {
    let posterior =
        if project.mine { answers::posterior } else { solutions::posterior };
    let cats = Cats::new(Split::Train);
    let candidates: Vec<Vec<f32>> = (0..CATS).map(|index| cats.image(index)).collect();
    // The share of cats that are the most probable candidate for their own x_t.
    let share = |schedule: &Schedule, t: usize, seed: u64| {
        let recognised = (0..CATS).filter(|&cat| {
            let mut rng = rng(seed, cat as u64);
            let eps: Vec<f32> =
                gaussian(&mut rng).take(candidates[cat].len()).collect();
            let x_t = noised(schedule, t, &candidates[cat], &eps);
            let probabilities = posterior(schedule, t, &x_t, &candidates);
            (0..CATS)
                .all(|other| other == cat || probabilities[other] < probabilities[cat])
        });
        recognised.count() as f64 / CATS as f64
    };
    let kinds = [
        ("linear", BetaSchedule::Linear, palette::NOISE),
        ("cosine", BetaSchedule::SquaredcosCapV2, palette::SIGNAL),
    ];
    let series = kinds.map(|(name, kind, color)| {
        let schedule = Schedule::new(kind, 1000);
        let shares =
            |t: usize| (0..SEEDS).map(|seed| share(&schedule, t, seed)).collect();
        let timesteps = (STRIDE - 1..1000).step_by(STRIDE);
        let (series, deviations) =
            figures::measured(name, color, timesteps.map(|t| (t as f64, shares(t))));
        for least in [0.99, 0.5, 0.05] {
            let lost = series.points.iter().find(|(_, share)| *share < least);
            let t = lost.expect("all is lost in the end").0;
            cli::println!("{name}: below {:.0} % from timestep {t} on", 100.0 * least);
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
