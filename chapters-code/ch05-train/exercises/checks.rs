//! What an answer must pass.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch05_train::l_simple;
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

use super::answers::{average, clip, losses_of_simple_answers};

#[test]
fn long_gradients_are_shortened() {
    let near = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    };
    assert!(near(&clip(&[3.0, 4.0], 1.0), &[0.6, 0.8]));
    assert!(near(&clip(&[0.3, 0.4], 1.0), &[0.3, 0.4]), "a short one stays");
    assert!(near(&clip(&[0.0, 0.0], 1.0), &[0.0, 0.0]), "one of length 0 stays");
}

#[test]
fn averages_follow_slowly() {
    assert!((average(1.0, &[], 0.9) - 1.0).abs() < 1e-12);
    assert!((average(1.0, &[0.0, 0.0], 0.9) - 0.81).abs() < 1e-12);
    assert!(
        (average(0.0, &[1.0; 1000], 0.99) - 1.0).abs() < 1e-4,
        "in the end it arrives"
    );
}

#[test]
fn simple_answers_have_simple_losses() {
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
    for (found, measured) in losses_of_simple_answers().into_iter().zip(measured) {
        assert!(
            (found - measured).abs() < 0.02,
            "{found}, but it is about {measured:.2}"
        );
    }
}
