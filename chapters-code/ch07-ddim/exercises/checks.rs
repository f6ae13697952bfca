//! The tests that an answer must pass. Each is named after the function that it tests.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch06_sampling::gaussian_denoiser;
use ch07_ddim::Ddim;
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

use super::answers;

fn linear() -> Diffusion {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    Diffusion { schedule, prediction_type: PredictionType::Epsilon }
}

#[test]
fn length_half_way() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let [a, b] = [0, 1].map(|stream| {
        standard_normal(&device, (1, 1, 200, 200), &mut rng(4, stream)).as_vec()
    });
    let length = |values: &[f32]| {
        values.iter().map(|&v| v as f64 * v as f64).sum::<f64>().sqrt()
    };
    let middle: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
    let share = length(&middle) / length(&a);
    assert!(
        (answers::length_half_way() - share).abs() < 0.01,
        "{}, but it is about {share:.3}",
        answers::length_half_way()
    );
}

#[test]
fn sigma() {
    let ddim = Ddim::new(linear(), None, 1.0);
    let schedule = &ddim.diffusion.schedule;
    for (t, prev) in [(999, 979), (500, 250), (20, 0)] {
        assert!(
            (answers::sigma(schedule, t, prev) / ddim.sigma(t, Some(prev)) - 1.0).abs()
                < 1e-9,
            "from {t} to {prev}"
        );
    }
    // From one timestep to the one before it, sigma squared is the posterior variance of chapter 2.
    assert!(
        (answers::sigma(schedule, 300, 299).powi(2) / schedule.posterior_variance(300)
            - 1.0)
            .abs()
            < 1e-9
    );
}

#[test]
fn step() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = linear();
    let [x0, eps] = [0, 1]
        .map(|stream| standard_normal(&device, (1, 1, 4, 4), &mut rng(9, stream)));
    for (t, prev) in [(900, 600), (600, 100), (50, 0)] {
        let x_t = diffusion.q_sample(&x0, &[t], &eps);
        let wanted = diffusion.q_sample(&x0, &[prev], &eps).as_vec();
        let found = answers::step(&diffusion.schedule, t, prev, &x_t, &eps).as_vec();
        let worst =
            found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "from {t} to {prev}: off by {worst}");
    }
}

#[test]
fn heun() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = linear();
    let start = standard_normal(&device, (1, 1, 4, 4), &mut rng(2, 0));
    // For Gaussian data there is a formula for the path: x divided by its deviation is constant.
    let (first, last) = (700, 100);
    let deviation = |t: usize| {
        let alpha_bar = diffusion.schedule.alpha_bar[t];
        (alpha_bar * 0.25 + 1.0 - alpha_bar).sqrt()
    };
    let wanted = start.clone() * (deviation(last) / deviation(first)) as f32;
    let eps = |x: &Images<AutoDevice>, t: usize| {
        gaussian_denoiser(&diffusion, 0.0, 0.25, x, t)
    };
    let error = |steps: usize| {
        let mut x = start.clone();
        let stride = (first - last) / steps;
        for t in (last + stride..=first).rev().step_by(stride) {
            x = answers::heun(&diffusion.schedule, t, t - stride, &x, &eps);
        }
        (x - wanted.clone()).square().sum::<Rank0, _>().sqrt().as_vec()[0]
    };
    // Second order: half the step, a quarter of the error.
    let (coarse, fine) = (error(6), error(12));
    assert!(fine < 0.05, "12 steps end {fine} from where they should");
    assert!((3.0..6.0).contains(&(coarse / fine)), "{coarse} became {fine}");
}
