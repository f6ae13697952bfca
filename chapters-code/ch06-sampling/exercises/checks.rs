//! What an answer must pass.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch06_sampling::posterior_mean;
use dfdx::prelude::*;
use ops::AutoDevice;

use super::answers::{error_in_x0, mean_from_eps, quiet_end};

fn diffusion(kind: BetaSchedule) -> Diffusion {
    let schedule = Schedule::new(kind, 1000);
    Diffusion { schedule, prediction_type: PredictionType::Epsilon }
}

#[test]
fn errors_grow_with_the_noise() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = diffusion(BetaSchedule::Linear);
    let (x_t, eps) =
        (device.zeros_like(&(1, 1, 1, 1)), device.ones_like(&(1, 1, 1, 1)));
    for t in [0, 300, 999] {
        let moved = diffusion.x0(&x_t, &[t], &eps).as_vec()[0].abs() as f64;
        let found = error_in_x0(&diffusion.schedule, t);
        assert!((found / moved - 1.0).abs() < 1e-4, "t = {t}: {found}, not {moved}");
    }
}

#[test]
fn both_ways_to_the_mean_agree() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = diffusion(BetaSchedule::SquaredcosCapV2);
    let schedule = &diffusion.schedule;
    let [x_t, eps] = [0, 1]
        .map(|stream| standard_normal(&device, (1, 1, 4, 4), &mut rng(8, stream)));
    for t in [1, 200, 900] {
        let x0 = diffusion.x0(&x_t, &[t], &eps);
        let wanted = posterior_mean(schedule, &x_t, t, &x0).as_vec();
        let found = mean_from_eps(schedule, t, &x_t, &eps).as_vec();
        let worst =
            found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "t = {t}: off by {worst}");
    }
}

#[test]
fn the_end_is_quiet() {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let all: f64 = (0..1000).map(|t| schedule.posterior_variance(t)).sum();
    for share in [0.01, 0.25, 0.9] {
        let count = quiet_end(&schedule, share);
        let added = |count: usize| {
            (0..count).map(|t| schedule.posterior_variance(t)).sum::<f64>()
        };
        assert!(added(count) < share * all, "{count} steps add too much for {share}");
        assert!(
            added(count + 1) >= share * all,
            "{count} steps are not all for {share}"
        );
    }
}
