//! The tests that an answer must pass. Each is named after the function that it tests.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use dfdx::prelude::*;
use ops::AutoDevice;

use super::answers;

fn linear() -> Diffusion {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    Diffusion { schedule, prediction_type: PredictionType::Epsilon }
}

#[test]
fn drowned() {
    let schedule = Schedule::new(BetaSchedule::SquaredcosCapV2, 1000);
    for deviation in [0.2, 1.0, 3.0] {
        let t = answers::drowned(&schedule, deviation);
        let weighs = |t: usize| {
            (
                schedule.alpha_bar[t].sqrt() * deviation,
                (1.0 - schedule.alpha_bar[t]).sqrt(),
            )
        };
        assert!(
            weighs(t).0 <= weighs(t).1 && weighs(t - 1).0 > weighs(t - 1).1,
            "not {t} for {deviation}"
        );
    }
}

#[test]
fn noise_in() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = linear();
    let [x0, eps] = [0, 1]
        .map(|stream| standard_normal(&device, (2, 1, 4, 4), &mut rng(5, stream)));
    for t in [100, 500, 999] {
        let x_t = diffusion.q_sample(&x0, &[t, t], &eps);
        let found = answers::noise_in(&diffusion.schedule, &x0, &x_t, t).as_vec();
        let worst = found
            .iter()
            .zip(eps.as_vec())
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst < 1e-3, "t = {t}: off by {worst}");
    }
}

#[test]
fn jump_on() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = linear();
    let shape = (1, 1, 200, 200);
    let x0 = device.ones_like(&shape);
    let [first, second] =
        [0, 1].map(|stream| standard_normal(&device, shape, &mut rng(6, stream)));
    let x_s = diffusion.q_sample(&x0, &[150], &first);
    let values =
        answers::jump_on(&diffusion.schedule, &x_s, 150, 400, &second).as_vec();
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| v as f64).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / n;
    let alpha_bar = diffusion.schedule.alpha_bar[400];
    assert!(
        (mean - alpha_bar.sqrt()).abs() < 0.02,
        "the mean is {mean}, not {}",
        alpha_bar.sqrt()
    );
    assert!(
        (variance - (1.0 - alpha_bar)).abs() < 0.03,
        "the variance is {variance}, not {}",
        1.0 - alpha_bar
    );
}

#[test]
fn posterior() {
    let schedule = linear().schedule;
    let t = 300;
    let (kept, variance) = (schedule.alpha_bar[t].sqrt(), 1.0 - schedule.alpha_bar[t]);
    // One pixel, with x_t = 0.3: a white candidate and a black one.
    let density = |x0: f64| (-(0.3 - kept * x0).powi(2) / (2.0 * variance)).exp();
    let wanted = density(1.0) / (density(1.0) + density(-1.0));
    let found = answers::posterior(&schedule, t, &[0.3], &[vec![1.0], vec![-1.0]]);
    assert!((found[0] - wanted).abs() < 1e-6, "{found:?}, not {wanted}");
    assert!(
        (found[0] + found[1] - 1.0).abs() < 1e-12,
        "{found:?} does not add up to 1"
    );
    // Many pixels, and none of the candidates is near: still no 0 / 0.
    let far = answers::posterior(
        &schedule,
        0,
        &[0.0; 768],
        &[vec![1.0; 768], vec![-0.9; 768]],
    );
    assert!(far[0] < 1e-12 && (far[1] - 1.0).abs() < 1e-12, "{far:?}");
}
