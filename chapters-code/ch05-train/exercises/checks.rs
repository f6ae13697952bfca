//! The tests that an answer must pass. Each is named after the function that it tests.

use ch01_tensors::{batch, Cats, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch04_unet::{Preset, UNet};
use ch05_train::{l_simple, Optimizer, OptimizerConfig};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

use super::answers;

#[test]
fn clip() {
    let near = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    };
    assert!(near(&answers::clip(&[3.0, 4.0], 1.0), &[0.6, 0.8]));
    assert!(
        near(&answers::clip(&[0.3, 0.4], 1.0), &[0.3, 0.4]),
        "a short one stays as it is"
    );
    assert!(
        near(&answers::clip(&[0.0, 0.0], 1.0), &[0.0, 0.0]),
        "one of length 0 stays as it is"
    );
}

#[test]
fn average() {
    assert!((answers::average(1.0, &[], 0.9) - 1.0).abs() < 1e-12);
    assert!((answers::average(1.0, &[0.0, 0.0], 0.9) - 0.81).abs() < 1e-12);
    assert!(
        (answers::average(0.0, &[1.0; 1000], 0.99) - 1.0).abs() < 1e-4,
        "in the end it arrives"
    );
}

#[test]
fn losses_of_simple_answers() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = Diffusion {
        schedule: Schedule::new(BetaSchedule::Linear, 1000),
        prediction_type: PredictionType::Epsilon,
    };
    let [x0, eps] = [0, 1]
        .map(|stream| standard_normal(&device, (1, 1, 200, 200), &mut rng(7, stream)));
    let loss = |answer: &dyn Fn() -> Images<AutoDevice>| {
        let network = |_, _: &[usize]| answer();
        l_simple::<_, NoneTape>(&diffusion, &x0, &[500], &eps, network).as_vec()[0]
            as f64
    };
    let measured = [loss(&|| eps.clone() * 0.0), loss(&|| eps.clone() * 0.5)];
    for (found, measured) in
        answers::losses_of_simple_answers().into_iter().zip(measured)
    {
        assert!(
            (found - measured).abs() < 0.02,
            "{found}, but the loss is about {measured:.2}"
        );
    }
}

/// Trains on eight cats, and returns the loss of each step.
fn losses_of_eight_cats(steps: u64) -> Vec<f32> {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = Diffusion {
        schedule: Schedule::new(BetaSchedule::SquaredcosCapV2, 100),
        prediction_type: PredictionType::Epsilon,
    };
    let cats = Cats::new(Split::Train);
    let x0 = batch(&device, &cats, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let mut rng = rng(3, 0);
    let config = Preset::Tiny.config([3, 16, 16]);
    let mut unet = UNet::new(&device, &config, &mut rng).unwrap();
    let config =
        OptimizerConfig { learning_rate: 2e-3, warmup_steps: 20, ..Default::default() };
    let mut optimizer = Optimizer::new(config, &mut unet);
    let mut step = |step| {
        answers::train_step(step, &diffusion, &mut unet, &mut optimizer, &x0, &mut rng)
    };
    (0..steps).map(&mut step).collect()
}

#[test]
fn train_step() {
    let losses = losses_of_eight_cats(300);
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..5]), mean(&losses[260..]));
    assert!(
        (0.8..1.6).contains(&first),
        "the first five losses have a mean of {first}"
    );
    assert!(last < 0.25, "after 260 steps the loss is still {last}");
    assert_ne!(losses[298], losses[299], "each step has noise of its own");
}
