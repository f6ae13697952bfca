//! Your answers. `cargo test -p ch05-train --test exercises` says whether they are
//! right.
#![allow(unused_variables, unused_imports)]

use ch03_forward::{standard_normal, Diffusion};
use ch04_unet::UNet;
use ch05_train::Optimizer;
use dfdx::prelude::*;
use ops::{gradient_of, AutoDevice, Images};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// The gradient, shortened to the length `most` if it is longer.
pub fn clip(gradient: &[f64], most: f64) -> Vec<f64> {
    todo!()
}

/// The moving average after all these values. It begins at `start`, and with each value
/// it keeps `decay` of itself.
pub fn average(start: f64, values: &[f64], decay: f64) -> f64 {
    todo!()
}

/// The expected mean squared error of a network that always answers 0 when asked for noise of
/// variance 1, and of one that answers with the noise at half its strength.
pub fn losses_of_simple_answers() -> [f64; 2] {
    todo!()
}

/// One step of algorithm 1 for the images `x0`: draws a timestep and noise for each
/// from `rng`, and moves the weights of `unet`. Returns the loss. `step` is counted from 0.
pub fn train_step(
    step: u64,
    diffusion: &Diffusion,
    unet: &mut UNet<AutoDevice>,
    optimizer: &mut Optimizer<AutoDevice>,
    x0: &Images<AutoDevice>,
    rng: &mut ChaCha8Rng,
) -> f32 {
    todo!()
}
