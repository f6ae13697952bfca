//! The walk with denoisers that are known exactly, so that the results are known
//! too.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch04_unet::model_dir::VarianceType;
use ch06_sampling::{
    all_timesteps, clipped_x0, gaussian_denoiser, noise_per_image, step_variance, walk,
    Ancestral, Solver,
};
use dfdx::prelude::*;
use ops::{AutoDevice as Dev, Images};

const KINDS: [PredictionType; 3] =
    [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction];

fn linear(timesteps: usize, prediction_type: PredictionType) -> Diffusion {
    let schedule = Schedule::new(BetaSchedule::Linear, timesteps);
    Diffusion { schedule, prediction_type }
}

fn ancestral(diffusion: &Diffusion, variance_type: VarianceType) -> Ancestral {
    Ancestral { diffusion: diffusion.clone(), variance_type, clip: None }
}

/// The theoretical moments of the walk with [`gaussian_denoiser`]: every step is a linear map plus
/// noise, so the mean and the variance follow.
fn expected_moments(
    schedule: &Schedule,
    kind: VarianceType,
    mean: f64,
    variance: f64,
) -> (f64, f64) {
    let (mut m, mut v) = (0.0, 1.0);
    for t in (0..schedule.len()).rev() {
        let a = schedule.alpha_bar[t];
        let gain = a.sqrt() * variance / (a * variance + 1.0 - a);
        let (of_x0, of_x_t) = schedule.posterior_mean_coefficients(t);
        let slope = of_x0 * gain + of_x_t;
        m = slope * m + of_x0 * (mean - gain * a.sqrt() * mean);
        v = slope * slope * v + step_variance(schedule, kind, t);
    }
    (m, v)
}

fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| v as f64).sum::<f64>() / n;
    (mean, values.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

/// Asserts that the mean and variance of `n` values differ from theory only by chance.
fn assert_moments(found: (f64, f64), expected: (f64, f64), n: usize, what: &str) {
    let ((m, v), (em, ev), n) = (found, expected, n as f64);
    let (near_m, near_v) = (3.3 * (ev / n).sqrt(), 3.3 * ev * (2.0 / n).sqrt());
    assert!((m - em).abs() < near_m, "{what}: mean {m} instead of {em}");
    assert!((v - ev).abs() < near_v, "{what}: variance {v} instead of {ev}");
}

// ANCHOR: gaussian
#[test]
fn gaussian_data_come_out_with_the_moments_of_theory() {
    let device = ops::open_device(0).unwrap();
    let (mean, variance) = (0.3, 0.25);
    let n = 4000;
    for steps in [50, 200] {
        let schedule = Schedule::new(BetaSchedule::SquaredcosCapV2, steps);
        for variance_type in [VarianceType::FixedSmall, VarianceType::FixedLarge] {
            for prediction_type in KINDS {
                let schedule = schedule.clone();
                let diffusion = Diffusion { schedule, prediction_type };
                let solver = ancestral(&diffusion, variance_type);
                let denoise = |x: &Images<Dev>, t: usize| {
                    gaussian_denoiser(&diffusion, mean, variance, x, t)
                };
                let mut rngs = vec![rng(1, 0)];
                let x = noise_per_image(&device, (1, 1, 40, n / 40), &mut rngs);
                let timesteps = all_timesteps(&diffusion.schedule);
                let walk = walk(solver, x, &timesteps, rngs, denoise);
                let found = moments(&walk.finish().as_vec());
                let expected = expected_moments(
                    &diffusion.schedule,
                    variance_type,
                    mean,
                    variance,
                );
                let what =
                    format!("{steps} steps, {variance_type:?}, {prediction_type:?}");
                assert_moments(found, expected, n, &what);
            }
        }
    }
}
// ANCHOR_END: gaussian

/// With many steps, the theoretical moments approach those of the data, whichever variance the
/// steps add.
#[test]
fn many_small_steps_lead_to_the_data() {
    for variance_type in [VarianceType::FixedSmall, VarianceType::FixedLarge] {
        let error = |timesteps: usize| {
            let (m, v) = expected_moments(
                &Schedule::new(BetaSchedule::SquaredcosCapV2, timesteps),
                variance_type,
                0.3,
                0.25,
            );
            (m - 0.3).abs().max((v - 0.25).abs())
        };
        assert!(error(4000) < 0.01, "{variance_type:?}: off by {}", error(4000));
        assert!(error(4000) < error(200), "{variance_type:?}: more steps are better");
    }
}

#[test]
fn a_network_that_knows_the_noise_returns_the_image() {
    let device = ops::open_device(0).unwrap();
    let x0 = standard_normal(&device, (2, 3, 4, 4), &mut rng(2, 0)) * 0.3;
    for prediction_type in KINDS {
        let diffusion = linear(1000, prediction_type);
        let denoise = |x_t: &Images<Dev>, t: usize| {
            let eps = diffusion.eps_given_x0(x_t, &[t, t], &x0);
            diffusion.target(&x0, &[t, t], &eps)
        };
        let mut rngs = vec![rng(3, 0), rng(3, 1)];
        let x = noise_per_image(&device, *x0.shape(), &mut rngs);
        let timesteps = all_timesteps(&diffusion.schedule);
        let solver = ancestral(&diffusion, VarianceType::FixedSmall);
        let found = walk(solver, x, &timesteps, rngs, denoise).finish();
        for (a, b) in found.as_vec().iter().zip(x0.as_vec()) {
            assert!((a - b).abs() < 1e-4, "{prediction_type:?}: {a} instead of {b}");
        }
    }
}

#[test]
fn clipping_bounds_the_prediction() {
    let device = ops::open_device(0).unwrap();
    let diffusion = linear(1000, PredictionType::Epsilon);
    let x_t = standard_normal(&device, (1, 1, 8, 8), &mut rng(4, 0));
    let wrong = standard_normal(&device, (1, 1, 8, 8), &mut rng(4, 1));
    let bounded = clipped_x0(&diffusion, Some(1.0), &x_t, 900, &wrong).as_vec();
    assert!(
        bounded.iter().all(|v| v.abs() <= 1.0)
            && bounded.iter().any(|v| v.abs() == 1.0)
    );
    let free = clipped_x0(&diffusion, None, &x_t, 900, &wrong).as_vec();
    assert!(free.iter().any(|v| v.abs() > 1.0));
}

#[test]
fn the_last_step_adds_no_noise() {
    let device = ops::open_device(0).unwrap();
    let diffusion = linear(10, PredictionType::Epsilon);
    let eps = standard_normal(&device, (1, 1, 4, 4), &mut rng(5, 0));
    let x0 = standard_normal(&device, (1, 1, 4, 4), &mut rng(5, 1));
    let noise = || panic!("it asked for noise");
    for kind in [VarianceType::FixedSmall, VarianceType::FixedLarge] {
        let x_t: Images<Dev> = diffusion.q_sample(&x0, &[0], &eps);
        let denoise = |_: &Images<Dev>, _| eps.clone();
        let mut solver = ancestral(&diffusion, kind);
        let last = solver.step(&x_t, 0, None, &denoise, &mut { noise }).next.as_vec();
        for (a, b) in last.iter().zip(x0.as_vec()) {
            assert!((a - b).abs() < 1e-5);
        }
        assert!(step_variance(&diffusion.schedule, kind, 1) > 0.0);
    }
}

#[test]
fn an_image_does_not_depend_on_its_neighbours() {
    let device = ops::open_device(0).unwrap();
    let mut three = [rng(6, 0), rng(6, 1), rng(6, 2)];
    let mut one = [rng(6, 1)];
    let together = noise_per_image(&device, (3, 1, 2, 2), &mut three).as_vec();
    assert_eq!(
        together[4..8],
        noise_per_image(&device, (1, 1, 2, 2), &mut one).as_vec()
    );
}

/// A walk that is watched step by step, or interrupted and then continued, ends where an
/// undisturbed one does.
#[test]
fn a_walk_is_an_iterator_over_steps_that_join() {
    let device: Dev = ops::open_device(0).unwrap();
    let diffusion = linear(10, PredictionType::Epsilon);
    let timesteps = all_timesteps(&diffusion.schedule);
    let denoise =
        |x: &Images<Dev>, t: usize| gaussian_denoiser(&diffusion, 0.3, 0.25, x, t);
    let start = || {
        let mut rngs = vec![rng(8, 0), rng(8, 1)];
        let x = noise_per_image(&device, (2, 1, 4, 4), &mut rngs);
        let solver = ancestral(&diffusion, VarianceType::FixedSmall);
        walk(solver, x, &timesteps, rngs, denoise)
    };
    let steps: Vec<_> = start().collect();
    assert!(steps.iter().map(|step| step.t).eq(timesteps.iter().copied()));
    for pair in steps.windows(2) {
        assert_eq!(pair[0].next.as_vec(), pair[1].x_t.as_vec());
    }
    let mut half = start();
    assert_eq!(half.by_ref().take(5).count(), 5);
    let last = steps[9].next.as_vec();
    assert_eq!(half.finish().as_vec(), last);
    assert_eq!(start().finish().as_vec(), last);
    // A walk without steps ends where it starts.
    let x = steps[0].x_t.clone();
    let solver = ancestral(&diffusion, VarianceType::FixedSmall);
    let nowhere = walk(solver, x.clone(), &[], vec![], denoise);
    assert_eq!(nowhere.finish().as_vec(), x.as_vec());
}
