//! One jump against many steps, and the moments that theory gives.
//!
//! Random numbers come from fixed seeds, so a test either always passes or always
//! fails. The bounds are those that the mean and variance of as many independent values
//! exceed less than once in a thousand times (3.3 standard deviations).

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{
    predict_x0, q_sample, q_step, rng, standard_normal, target, PredictionType,
};
use dfdx::prelude::*;
use ops::{AutoDevice as Dev, Images};

const N: usize = 20_000;

/// One image per pixel: `N` independent copies of the value `x`.
fn constant(device: &Dev, x: f32) -> Images<Dev> {
    device.tensor_from_vec(vec![x; N], (1, 1, 100, N / 100))
}

fn moments(x: &Images<Dev>) -> (f64, f64) {
    let values: Vec<f64> = x.as_vec().iter().map(|&v| v as f64).collect();
    let mean = values.iter().sum::<f64>() / N as f64;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (N - 1) as f64)
}

fn assert_moments(what: &str, x: &Images<Dev>, mean: f64, variance: f64) {
    let (m, v) = moments(x);
    let n = N as f64;
    assert!(
        (m - mean).abs() < 3.3 * (variance / n).sqrt(),
        "{what}: mean {m} instead of {mean}"
    );
    assert!(
        (v - variance).abs() < 3.3 * variance * (2.0 / n).sqrt(),
        "{what}: variance {v} instead of {variance}"
    );
}

// ANCHOR: moments
#[test]
fn jump_and_chain_have_the_moments_of_the_closed_form() {
    let device = ops::open_device(0).unwrap();
    for kind in BetaSchedule::ALL {
        let schedule = Schedule::new(kind, 50);
        let x0 = constant(&device, 0.8);
        let (mut chain, mut noise) = (x0.clone(), rng(1, 0));
        for t in 0..50 {
            chain = q_step(
                &schedule,
                chain,
                t,
                standard_normal(&device, *x0.shape(), &mut noise),
            );
            let eps = standard_normal(&device, *x0.shape(), &mut rng(2, t as u64));
            let jump = q_sample(&schedule, &x0, &[t], &eps);
            if t % 10 == 9 || t == 0 {
                let mean = 0.8f32 as f64 * schedule.alpha_bar[t].sqrt();
                let variance = 1.0 - schedule.alpha_bar[t];
                assert_moments(&format!("{kind:?} jump to {t}"), &jump, mean, variance);
                assert_moments(
                    &format!("{kind:?} chain to {t}"),
                    &chain,
                    mean,
                    variance,
                );
            }
        }
    }
}
// ANCHOR_END: moments

/// The largest distance between the two cumulative distributions, against its critical
/// value (Kolmogorov and Smirnov, confidence 99.9 %).
#[test]
fn jump_and_chain_agree_in_distribution() {
    let device = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::Linear, 100);
    // A start that is far from Gaussian: half the values at -1, half at 1.
    let start: Vec<f32> = (0..N).map(|i| if i % 2 == 0 { -1.0 } else { 1.0 }).collect();
    let x0 = device.tensor_from_vec(start, (1, 1, 100, N / 100));
    let mut chain = x0.clone();
    let mut noise = rng(3, 0);
    for t in 0..40 {
        chain = q_step(
            &schedule,
            chain,
            t,
            standard_normal(&device, *x0.shape(), &mut noise),
        );
    }
    let jump = q_sample(
        &schedule,
        &x0,
        &[39],
        &standard_normal(&device, *x0.shape(), &mut rng(3, 1)),
    );
    let sorted = |x: &Images<Dev>| {
        let mut values = x.as_vec();
        values.sort_by(f32::total_cmp);
        values
    };
    let (a, b) = (sorted(&chain), sorted(&jump));
    let distance = a.iter().enumerate().map(|(i, v)| {
        let below = b.partition_point(|w| w <= v);
        (i as f64 + 1.0 - below as f64).abs() / N as f64
    });
    let distance = distance.fold(0.0, f64::max);
    let critical = 1.95 * (2.0 / N as f64).sqrt();
    assert!(distance < critical, "{distance} is not below {critical}");
    // The test can fail: against the jump to timestep 60 it does.
    let later = sorted(&q_sample(
        &schedule,
        &x0,
        &[60],
        &standard_normal(&device, *x0.shape(), &mut rng(3, 2)),
    ));
    let other = a.iter().enumerate().map(|(i, v)| {
        (i as f64 - later.partition_point(|w| w <= v) as f64).abs() / N as f64
    });
    assert!(other.fold(0.0, f64::max) > critical);
}

#[test]
fn the_end_is_standard_normal() {
    let device = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let eps = standard_normal(&device, (1, 1, 100, N / 100), &mut rng(4, 0));
    assert_moments("noise", &eps, 0.0, 1.0);
    let x_t = q_sample(&schedule, &constant(&device, 0.5), &[999], &eps);
    assert_moments(
        "the end",
        &x_t,
        0.5 * schedule.alpha_bar[999].sqrt(),
        1.0 - schedule.alpha_bar[999],
    );
}

#[test]
fn every_image_has_its_own_timestep() {
    let device = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::SquaredcosCapV2, 100);
    let x0 = standard_normal(&device, (3, 2, 2, 2), &mut rng(5, 0));
    let eps = standard_normal(&device, (3, 2, 2, 2), &mut rng(5, 1));
    let together = q_sample(&schedule, &x0, &[7, 50, 99], &eps).as_vec();
    for (i, t) in [7, 50, 99].into_iter().enumerate() {
        let alone = q_sample(&schedule, &x0, &[t; 3], &eps).as_vec();
        assert_eq!(together[i * 8..][..8], alone[i * 8..][..8]);
        let (signal, noise) =
            (schedule.alpha_bar[t].sqrt(), (1.0 - schedule.alpha_bar[t]).sqrt());
        for (j, found) in together.iter().enumerate().skip(i * 8).take(8) {
            let expected =
                signal * x0.as_vec()[j] as f64 + noise * eps.as_vec()[j] as f64;
            assert!((*found as f64 - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn x0_comes_back_from_each_kind_of_answer() {
    let device = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::Linear, 100);
    let x0 = standard_normal(&device, (2, 1, 4, 4), &mut rng(6, 0));
    let eps = standard_normal(&device, (2, 1, 4, 4), &mut rng(6, 1));
    for timesteps in [[0, 3], [20, 60]] {
        let x_t = q_sample(&schedule, &x0, &timesteps, &eps);
        for kind in [
            PredictionType::Epsilon,
            PredictionType::Sample,
            PredictionType::VPrediction,
        ] {
            let answer = target(kind, &schedule, &x0, &timesteps, &eps);
            let back = predict_x0(kind, &schedule, &x_t, &timesteps, &answer);
            for (a, b) in back.as_vec().iter().zip(x0.as_vec()) {
                assert!((a - b).abs() < 1e-5, "{kind:?}: {a} instead of {b}");
            }
        }
    }
}
