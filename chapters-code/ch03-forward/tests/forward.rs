//! One jump against many steps, and both against the moments that theory gives.
//!
//! Random numbers come from fixed seeds, so a test either always passes or always
//! fails. The mean and variance of `N` independent values exceed the bounds in fewer than one case
//! in a thousand (3.3 standard deviations).

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use dfdx::prelude::*;
use ops::{AutoDevice as Dev, Images};

const N: usize = 20_000;

/// Each pixel is an image of its own: `N` independent copies of the value `x`.
fn constant(device: &Dev, x: f32) -> Images<Dev> {
    device.tensor_from_vec(vec![x; N], (1, 1, 100, N / 100))
}

fn diffusion(kind: BetaSchedule, timesteps: usize) -> Diffusion {
    let schedule = Schedule::new(kind, timesteps);
    Diffusion { schedule, prediction_type: PredictionType::Epsilon }
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
        let diffusion = diffusion(kind, 50);
        let x0 = constant(&device, 0.8);
        let (mut chain, mut noise) = (x0.clone(), rng(1, 0));
        for t in 0..50 {
            let eps = standard_normal(&device, *x0.shape(), &mut noise);
            chain = diffusion.q_step(&chain, t, &eps);
            let eps = standard_normal(&device, *x0.shape(), &mut rng(2, t as u64));
            let jump = diffusion.q_sample(&x0, &[t], &eps);
            if t % 10 == 9 || t == 0 {
                let alpha_bar = diffusion.schedule.alpha_bar[t];
                let mean = 0.8f32 as f64 * alpha_bar.sqrt();
                for (way, x_t) in [("jump", &jump), ("chain", &chain)] {
                    let what = format!("{kind:?} {way} to {t}");
                    assert_moments(&what, x_t, mean, 1.0 - alpha_bar);
                }
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
    let diffusion = diffusion(BetaSchedule::Linear, 100);
    // A start that is far from Gaussian: half the values at -1, half at 1.
    let start: Vec<f32> = (0..N).map(|i| if i % 2 == 0 { -1.0 } else { 1.0 }).collect();
    let x0 = device.tensor_from_vec(start, (1, 1, 100, N / 100));
    let mut chain = x0.clone();
    let mut noise = rng(3, 0);
    for t in 0..40 {
        let eps = standard_normal(&device, *x0.shape(), &mut noise);
        chain = diffusion.q_step(&chain, t, &eps);
    }
    let jump_to = |t: usize, stream: u64| {
        let eps = standard_normal(&device, *x0.shape(), &mut rng(3, stream));
        diffusion.q_sample(&x0, &[t], &eps)
    };
    let sorted = |x: &Images<Dev>| {
        let mut values = x.as_vec();
        values.sort_by(f32::total_cmp);
        values
    };
    let (a, b) = (sorted(&chain), sorted(&jump_to(39, 1)));
    let distance = a.iter().enumerate().map(|(i, v)| {
        let below = b.partition_point(|w| w <= v);
        (i as f64 + 1.0 - below as f64).abs() / N as f64
    });
    let distance = distance.fold(0.0, f64::max);
    let critical = 1.95 * (2.0 / N as f64).sqrt();
    assert!(distance < critical, "{distance} is not below {critical}");
    // The test can fail: against the jump to timestep 60 it does.
    let later = sorted(&jump_to(60, 2));
    let other = a.iter().enumerate().map(|(i, v)| {
        (i as f64 - later.partition_point(|w| w <= v) as f64).abs() / N as f64
    });
    assert!(other.fold(0.0, f64::max) > critical);
}

#[test]
fn the_end_is_standard_normal() {
    let device = ops::open_device(0).unwrap();
    let diffusion = diffusion(BetaSchedule::Linear, 1000);
    let eps = standard_normal(&device, (1, 1, 100, N / 100), &mut rng(4, 0));
    assert_moments("noise", &eps, 0.0, 1.0);
    let x_t = diffusion.q_sample(&constant(&device, 0.5), &[999], &eps);
    assert_moments(
        "the end",
        &x_t,
        0.5 * diffusion.schedule.alpha_bar[999].sqrt(),
        1.0 - diffusion.schedule.alpha_bar[999],
    );
}

#[test]
fn every_image_has_its_own_timestep() {
    let device = ops::open_device(0).unwrap();
    let diffusion = diffusion(BetaSchedule::SquaredcosCapV2, 100);
    let x0 = standard_normal(&device, (3, 2, 2, 2), &mut rng(5, 0));
    let eps = standard_normal(&device, (3, 2, 2, 2), &mut rng(5, 1));
    let together = diffusion.q_sample(&x0, &[7, 50, 99], &eps).as_vec();
    for (i, t) in [7, 50, 99].into_iter().enumerate() {
        let alone = diffusion.q_sample(&x0, &[t; 3], &eps).as_vec();
        assert_eq!(together[i * 8..][..8], alone[i * 8..][..8]);
        let (signal, noise) = (
            diffusion.schedule.alpha_bar[t].sqrt(),
            (1.0 - diffusion.schedule.alpha_bar[t]).sqrt(),
        );
        for (j, found) in together.iter().enumerate().skip(i * 8).take(8) {
            let expected =
                signal * x0.as_vec()[j] as f64 + noise * eps.as_vec()[j] as f64;
            assert!((*found as f64 - expected).abs() < 1e-6);
        }
    }
}

#[test]
fn x0_and_eps_follow_from_each_kind_of_output() {
    let device = ops::open_device(0).unwrap();
    let usual = diffusion(BetaSchedule::Linear, 100);
    let x0 = standard_normal(&device, (2, 1, 4, 4), &mut rng(6, 0));
    let eps = standard_normal(&device, (2, 1, 4, 4), &mut rng(6, 1));
    for timesteps in [[0, 3], [20, 60]] {
        let x_t = usual.q_sample(&x0, &timesteps, &eps);
        for kind in [
            PredictionType::Epsilon,
            PredictionType::Sample,
            PredictionType::VPrediction,
        ] {
            let diffusion = Diffusion { prediction_type: kind, ..usual.clone() };
            let output = diffusion.target(&x0, &timesteps, &eps);
            let found = [
                (diffusion.x0(&x_t, &timesteps, &output), &x0),
                (diffusion.eps(&x_t, &timesteps, &output), &eps),
            ];
            for (found, wanted) in found {
                for (a, b) in found.as_vec().iter().zip(wanted.as_vec()) {
                    assert!((a - b).abs() < 1e-5, "{kind:?}: {a} instead of {b}");
                }
            }
        }
    }
}
