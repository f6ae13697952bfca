//! The project of chapter 7: how fast the error of a solver falls with the number of
//! steps, on data for which the answer is known.

use std::process::ExitCode;

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch06_sampling::{gaussian_denoiser, walk, Denoiser, Outcome, Solver};
use ch07_ddim::{Ddim, DpmSolver};
use cli::Project;
use dfdx::prelude::*;
use figures::{palette, Axes, Series};
use ops::{AutoDevice, Images};

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

/// The walks begin and end at these timesteps; the last jump, to the clean image, is a
/// separate matter.
const FIRST: usize = 900;
const LAST: usize = 100;
/// Numbers of steps, each of which divides the range of timesteps evenly.
const STEPS: [usize; 6] = [5, 10, 20, 40, 80, 160];
/// The data have mean 0 and this variance.
const VARIANCE: f64 = 0.25;

type Numbers = Images<AutoDevice>;

/// The reader's step, or the book's, as a solver.
struct Heun {
    schedule: Schedule,
    step: fn(&Schedule, usize, usize, &Numbers, &Denoiser<AutoDevice>) -> Numbers,
}

impl Solver<AutoDevice> for Heun {
    fn step(
        &mut self,
        x_t: &Images<AutoDevice>,
        t: usize,
        prev: Option<usize>,
        denoise: &Denoiser<AutoDevice>,
        _noise: &mut dyn FnMut() -> Images<AutoDevice>,
    ) -> Outcome<AutoDevice> {
        let prev = prev.expect("the last jump is not taken");
        let next = (self.step)(&self.schedule, t, prev, x_t, denoise);
        Outcome { x0: next.clone(), next }
    }
}

fn draw(project: Project) -> anyhow::Result<()> {
    let step = if project.mine { answers::heun } else { solutions::heun };
    let device: AutoDevice = cli::device(0)?;
    let schedule = Schedule::new(BetaSchedule::SquaredcosCapV2, 1000);
    let diffusion = Diffusion { schedule, prediction_type: PredictionType::Epsilon };
    let start = standard_normal(&device, (1, 1, 16, 16), &mut rng(0, 0));
    // On the exact path, x_t divided by its own deviation stays the same.
    let deviation = |t: usize| {
        let alpha_bar = diffusion.schedule.alpha_bar[t];
        (alpha_bar * VARIANCE + 1.0 - alpha_bar).sqrt()
    };
    let exact = start.clone() * (deviation(LAST) / deviation(FIRST)) as f32;
    // How far from the exact result a walk of this many steps ends.
    let error = |solver: Box<dyn Solver<AutoDevice>>, steps: usize| {
        let stride = (FIRST - LAST) / steps;
        let timesteps: Vec<usize> = (LAST..=FIRST).rev().step_by(stride).collect();
        let denoise = |x_t: &Images<AutoDevice>, t: usize| {
            gaussian_denoiser(&diffusion, 0.0, VARIANCE, x_t, t)
        };
        let walk = walk(solver, start.clone(), &timesteps, Vec::new(), denoise);
        let end = walk.take(steps).last().expect("there are steps").next;
        (end - exact.clone()).square().mean::<Rank0, _>().sqrt().as_vec()[0] as f64
    };

    let solver = |name: &str| -> Box<dyn Solver<AutoDevice>> {
        let diffusion = diffusion.clone();
        match name {
            "DDIM" => Box::new(Ddim::new(diffusion, None, 0.0)),
            "DPM-Solver++" => Box::new(DpmSolver::new(diffusion, None)),
            _ => Box::new(Heun { schedule: diffusion.schedule, step }),
        }
    };
    let solvers = [
        ("DDIM", 1, palette::SIGNAL),
        ("DPM-Solver++", 1, palette::PREDICTION),
        ("Heun", 2, palette::NOISE),
    ];
    let series = solvers.map(|(name, answers, color)| {
        let errors = STEPS.map(|steps| error(solver(name), steps));
        let factor = errors[2] / errors[4];
        let order = factor.log((STEPS[4] / STEPS[2]) as f64);
        cli::println!(
            "{name}: {} steps instead of {} divide the error by {factor:.1}: order {order:.2}",
            STEPS[4],
            STEPS[2],
        );
        let answers = STEPS.map(|steps| (answers * steps) as f64);
        let points = answers.into_iter().zip(errors).collect();
        Series { name: name.into(), points, color }
    });
    let axes = Axes::new("answers of the network", "error").log_x().log_y();
    figures::line_plot("orders.svg", &axes, &series)?;
    cli::println!("wrote orders.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
