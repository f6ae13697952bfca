//! The sampler with denoisers that are known exactly, so that what comes out is known
//! too.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{q_sample, rng, standard_normal, target, PredictionType};
use ch04_unet::model_dir::VarianceType;
use ch06_sampling::{gaussian_denoiser, noise_per_image, step_variance, Sampler};
use dfdx::prelude::*;
use ops::{AutoDevice as Dev, Images};

const KINDS: [PredictionType; 3] =
    [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction];

fn sampler(
    schedule: &Schedule,
    prediction_type: PredictionType,
    variance_type: VarianceType,
) -> Sampler<'_> {
    Sampler { schedule, prediction_type, variance_type, clip: None }
}

/// What theory gives for the sampler with [`gaussian_denoiser`]: every step is a linear
/// map plus noise, so mean and variance follow.
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

// ANCHOR: gaussian
#[test]
fn gaussian_data_come_out_with_the_moments_of_theory() {
    let device = ops::open_device(0).unwrap();
    let (mean, variance) = (0.3, 0.25);
    let n = 4000;
    for (timesteps, kind) in
        [(50, BetaSchedule::SquaredcosCapV2), (200, BetaSchedule::SquaredcosCapV2)]
    {
        let schedule = Schedule::new(kind, timesteps);
        for variance_type in [VarianceType::FixedSmall, VarianceType::FixedLarge] {
            for prediction_type in KINDS {
                let mut rngs = [rng(1, 0)];
                let x = noise_per_image(&device, (1, 1, 40, n / 40), &mut rngs);
                let sampler = sampler(&schedule, prediction_type, variance_type);
                let denoise = |x: &Images<Dev>, t: usize| {
                    gaussian_denoiser(&schedule, prediction_type, mean, variance, x, t)
                };
                let values =
                    sampler.sample(x, &mut rngs, denoise, |_, _, _| {}).as_vec();
                let m = values.iter().map(|&v| v as f64).sum::<f64>() / n as f64;
                let v = values.iter().map(|&x| (x as f64 - m).powi(2)).sum::<f64>()
                    / (n - 1) as f64;
                let (em, ev) =
                    expected_moments(&schedule, variance_type, mean, variance);
                let what = format!(
                    "{timesteps} steps, {variance_type:?}, {prediction_type:?}"
                );
                assert!(
                    (m - em).abs() < 3.3 * (ev / n as f64).sqrt(),
                    "{what}: mean {m} instead of {em}"
                );
                assert!(
                    (v - ev).abs() < 3.3 * ev * (2.0 / n as f64).sqrt(),
                    "{what}: variance {v} instead of {ev}"
                );
            }
        }
    }
}
// ANCHOR_END: gaussian

/// With many steps theory itself comes to the data's own moments, whichever variance
/// the steps add.
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
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let x0 = standard_normal(&device, (2, 3, 4, 4), &mut rng(2, 0)) * 0.3;
    for prediction_type in KINDS {
        let sampler = sampler(&schedule, prediction_type, VarianceType::FixedSmall);
        // Given x_t, the noise in it is (x_t - √ᾱ x0) / √(1-ᾱ).
        let denoise = |x: &Images<Dev>, t: usize| {
            let a = schedule.alpha_bar[t];
            let eps =
                (x.clone() - x0.clone() * a.sqrt() as f32) / (1.0 - a).sqrt() as f32;
            target(prediction_type, &schedule, &x0, &[t, t], &eps)
        };
        let mut rngs = [rng(3, 0), rng(3, 1)];
        let x = noise_per_image(&device, *x0.shape(), &mut rngs);
        let found = sampler.sample(x, &mut rngs, denoise, |_, _, _| {});
        for (a, b) in found.as_vec().iter().zip(x0.as_vec()) {
            assert!((a - b).abs() < 1e-4, "{prediction_type:?}: {a} instead of {b}");
        }
    }
}

#[test]
fn clipping_bounds_the_prediction() {
    let device = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let sampler = Sampler {
        clip: Some(1.0),
        ..sampler(&schedule, PredictionType::Epsilon, VarianceType::FixedSmall)
    };
    let x_t = standard_normal(&device, (1, 1, 8, 8), &mut rng(4, 0));
    let wrong = standard_normal(&device, (1, 1, 8, 8), &mut rng(4, 1));
    let bounded = sampler.x0_prediction(900, &x_t, &wrong).as_vec();
    assert!(
        bounded.iter().all(|v| v.abs() <= 1.0)
            && bounded.iter().any(|v| v.abs() == 1.0)
    );
    let free =
        Sampler { clip: None, ..sampler }.x0_prediction(900, &x_t, &wrong).as_vec();
    assert!(free.iter().any(|v| v.abs() > 1.0));
}

#[test]
fn the_last_step_adds_no_noise() {
    let device = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::Linear, 10);
    let eps = standard_normal(&device, (1, 1, 4, 4), &mut rng(5, 0));
    let x0 = standard_normal(&device, (1, 1, 4, 4), &mut rng(5, 1));
    let noise = standard_normal(&device, (1, 1, 4, 4), &mut rng(5, 2));
    for kind in [VarianceType::FixedSmall, VarianceType::FixedLarge] {
        let sampler = sampler(&schedule, PredictionType::Epsilon, kind);
        let x_t = q_sample(&schedule, &x0, &[0], &eps);
        let last = sampler.p_sample(0, &x_t, &eps, &noise).as_vec();
        for (a, b) in last.iter().zip(x0.as_vec()) {
            assert!((a - b).abs() < 1e-5);
        }
        assert!(step_variance(&schedule, kind, 1) > 0.0);
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
