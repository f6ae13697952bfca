//! The variational bound, where it is known from theory.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal};
use ch04_unet::model_dir::VarianceType;
use ch09_evaluation::{bound_term, prior_term, Spread};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

const KIND: VarianceType = VarianceType::FixedSmall;
/// Mean and deviation of the data, which are Gaussian.
const MEAN: f64 = -0.2;
const DEVIATION: f64 = 0.3;

/// Bytes from that Gaussian, `(1, 1, 1, count)`.
fn data(device: &AutoDevice, count: usize) -> Images<AutoDevice> {
    let z: Images<AutoDevice> =
        standard_normal(device, (1, 1, 1, count), &mut rng(0, 0));
    let byte = |z: f32| {
        let value = MEAN as f32 + DEVIATION as f32 * z;
        ch01_tensors::from_byte(ch01_tensors::to_byte(value))
    };
    let values = z.as_vec().into_iter().map(byte).collect();
    device.tensor_from_vec(values, (1, 1, 1, count))
}

/// The best guess of x0 and its variance, for Gaussian data (Bayes' rule).
fn best_guess(alpha_bar: f64, x_t: f64) -> (f64, f64) {
    let (data, noise) = (DEVIATION * DEVIATION, 1.0 - alpha_bar);
    let gain = alpha_bar.sqrt() * data / (alpha_bar * data + noise);
    (
        MEAN + gain * (x_t - alpha_bar.sqrt() * MEAN),
        data * noise / (alpha_bar * data + noise),
    )
}

/// The terms at these timesteps, measured with the best guess in place of a network.
fn measured(schedule: &Schedule, count: usize, timesteps: &[usize]) -> Vec<f64> {
    let device = ops::open_device(0).unwrap();
    let x0 = data(&device, count);
    let term = |&t: &usize| {
        let a = schedule.alpha_bar[t];
        let eps: Images<AutoDevice> =
            standard_normal(&device, *x0.shape(), &mut rng(1, t as u64));
        let x_t = x0.clone() * a.sqrt() as f32 + eps * (1.0 - a).sqrt() as f32;
        let guess = x_t.as_vec().into_iter().map(|x| best_guess(a, x as f64).0 as f32);
        let x0_pred = device.tensor_from_vec(guess.collect(), *x0.shape());
        bound_term(schedule, KIND, &x_t, t, &x0, &x0_pred)[0]
    };
    timesteps.iter().map(term).collect()
}

// ANCHOR: gaussian
#[test]
fn a_step_costs_what_the_best_guess_does_not_know() {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let timesteps = [1, 10, 100, 500, 900];
    let found = measured(&schedule, 100_000, &timesteps);
    for (&t, found) in timesteps.iter().zip(found) {
        // The true mean and ours differ by `of_x0` times the error of the guess.
        let (of_x0, _) = schedule.posterior_mean_coefficients(t);
        let (_, unknown) = best_guess(schedule.alpha_bar[t], 0.0);
        let nats = of_x0 * of_x0 * unknown / (2.0 * schedule.posterior_variance(t));
        let expected = nats / std::f64::consts::LN_2;
        assert!(
            (found / expected - 1.0).abs() < 0.03,
            "t = {t}: {found}, not {expected}"
        );
    }
}
// ANCHOR_END: gaussian

#[test]
fn all_steps_together_cost_more_than_the_data_hold() {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let all: Vec<usize> = (0..schedule.len()).collect();
    let steps: f64 = measured(&schedule, 4000, &all).iter().sum();
    let device = ops::open_device(0).unwrap();
    let total = steps + prior_term(&schedule, &data(&device, 4000))[0];
    // The entropy of a Gaussian is ½ log₂(2πe σ²); a byte is 2/255 wide.
    let sigma = DEVIATION * 255.0 / 2.0;
    let entropy =
        0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E * sigma * sigma).log2();
    assert!(total > entropy, "a bound below the truth: {total}, {entropy}");
    // The fixed variance is too small for the last steps, which therefore cost more.
    assert!(total < entropy + 1.0, "{total}, {entropy}");
}

#[test]
fn the_bytes_share_all_of_the_mass() {
    // With the last step's prediction at 0.1, every byte costs -log₂ of its share of the mass.
    let device: AutoDevice = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let bytes: Vec<f32> = (0..=255).map(ch01_tensors::from_byte).collect();
    let x0: Images<AutoDevice> = device.tensor_from_vec(bytes, (256, 1, 1, 1));
    let guess: Images<AutoDevice> = x0.clone() * 0.0 + 0.1;
    let bits = bound_term(&schedule, KIND, &guess, 0, &x0, &guess);
    let shares: f64 = bits.iter().map(|bits| (-bits).exp2()).sum();
    assert!((shares - 1.0).abs() < 1e-5, "{shares}");
    let cheapest = (0..256).min_by(|&a, &b| bits[a].total_cmp(&bits[b])).unwrap();
    assert_eq!(cheapest, ch01_tensors::to_byte(0.1) as usize);
    assert!(bits[0] > 100.0, "far from the guess, a byte is expensive: {}", bits[0]);
}

#[test]
fn the_larger_variance_costs_more() {
    // With equal means the term is just KL(N(0, posterior variance) ‖ N(0, β)).
    let device: AutoDevice = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let x: Images<AutoDevice> = device.zeros_like(&(1, 1, 2, 2));
    let bits = |kind| bound_term(&schedule, kind, &x, 1, &x, &x)[0];
    assert_eq!(bits(VarianceType::FixedSmall), 0.0);
    let ratio = schedule.posterior_variance(1) / schedule.betas[1];
    let expected = 0.5 * (ratio - 1.0 - ratio.ln()) / std::f64::consts::LN_2;
    assert!((bits(VarianceType::FixedLarge) - expected).abs() < 1e-12);
}

#[test]
fn spreads_are_printed_with_their_mean() {
    let spread = Spread::from_values(&[1.0, 2.0, 6.0]);
    assert_eq!(format!("{spread:.2}"), "3.00 ± 2.65");
    assert_eq!(Spread::from_values(&[4.0]).deviation, 0.0);
}
