//! The tests that an answer must pass. Each is named after the function that it tests.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch04_unet::model_dir::{Model, SchedulerConfig};
use ch04_unet::{Preset, UNet};
use ch06_sampling::{posterior_mean, sample_images};
use dfdx::prelude::*;
use ops::AutoDevice;

use super::answers;

fn diffusion(kind: BetaSchedule) -> Diffusion {
    let schedule = Schedule::new(kind, 1000);
    Diffusion { schedule, prediction_type: PredictionType::Epsilon }
}

#[test]
fn error_in_x0() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = diffusion(BetaSchedule::Linear);
    let (x_t, eps) =
        (device.zeros_like(&(1, 1, 1, 1)), device.ones_like(&(1, 1, 1, 1)));
    for t in [0, 300, 999] {
        let moved = diffusion.x0(&x_t, &[t], &eps).as_vec()[0].abs() as f64;
        let found = answers::error_in_x0(&diffusion.schedule, t);
        assert!((found / moved - 1.0).abs() < 1e-4, "t = {t}: {found}, not {moved}");
    }
}

#[test]
fn mean_from_eps() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = diffusion(BetaSchedule::SquaredcosCapV2);
    let schedule = &diffusion.schedule;
    let [x_t, eps] = [0, 1]
        .map(|stream| standard_normal(&device, (1, 1, 4, 4), &mut rng(8, stream)));
    for t in [1, 200, 900] {
        let x0 = diffusion.x0(&x_t, &[t], &eps);
        let wanted = posterior_mean(schedule, &x_t, t, &x0).as_vec();
        let found = answers::mean_from_eps(schedule, t, &x_t, &eps).as_vec();
        let worst =
            found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "t = {t}: off by {worst}");
    }
}

#[test]
fn quiet_end() {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let all: f64 = (0..1000).map(|t| schedule.posterior_variance(t)).sum();
    for share in [0.01, 0.25, 0.9] {
        let count = answers::quiet_end(&schedule, share);
        let added = |count: usize| {
            (0..count).map(|t| schedule.posterior_variance(t)).sum::<f64>()
        };
        assert!(added(count) < share * all, "{count} steps add too much for {share}");
        assert!(
            added(count + 1) >= share * all,
            "{count} steps are not all that stay below {share}"
        );
    }
}

#[test]
fn branches() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let scheduler =
        SchedulerConfig { num_train_timesteps: 10, ..SchedulerConfig::default() };
    let config = Preset::Tiny.config([3, 16, 16]);
    let model = Model {
        network: UNet::new(&device, &config, &mut rng(2, 0)).unwrap(),
        diffusion: scheduler.diffusion().unwrap(),
        scheduler,
        notes: Vec::new(),
    };
    let whole = sample_images(&device, &model, [3, 16, 16], 5..6, 0).as_vec();
    let ends = |t: usize| {
        let ends = answers::branches(&device, &model, 5, t, 3);
        assert_eq!(*ends.shape(), (3, 3, 16, 16));
        ends.as_vec().chunks(768).map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    let differ =
        |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-4);
    // The last step adds no noise, so walks that branch there all end in the same image.
    for end in ends(0) {
        assert!(!differ(&end, &whole), "at timestep 0 nothing is left to chance");
    }
    let distance = |ends: &[Vec<f32>]| {
        let squares = ends[0].iter().zip(&ends[1]).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f32>()
    };
    let (late, early) = (ends(2), ends(9));
    for ends in [&late, &early] {
        assert!(
            differ(&ends[0], &ends[1]) && differ(&ends[1], &ends[2]),
            "each end is different"
        );
    }
    assert!(
        distance(&late) < distance(&early),
        "the earlier they part, the further apart they end"
    );
}
