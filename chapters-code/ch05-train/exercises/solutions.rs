//! One way to answer.

use ch03_forward::{standard_normal, Diffusion};
use ch04_unet::UNet;
use ch05_train::Optimizer;
use dfdx::prelude::*;
use ops::{gradient_of, AutoDevice, Images};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

// ANCHOR: solutions
/// The gradient, shortened to the length `most` if it is longer.
pub fn clip(gradient: &[f64], most: f64) -> Vec<f64> {
    let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    let factor = (most / length).min(1.0); // a length of 0 gives infinity, and then 1
    gradient.iter().map(|g| g * factor).collect()
}

/// The moving average after all these values. It begins at `start`, and with each value
/// it keeps `decay` of itself.
pub fn average(start: f64, values: &[f64], decay: f64) -> f64 {
    values.iter().fold(start, |average, value| decay * average + (1.0 - decay) * value)
}

/// The expected mean squared error of a network that always answers 0 when asked for
/// noise of variance 1, and of one that answers with the noise at half its strength.
pub fn losses_of_simple_answers() -> [f64; 2] {
    // The mean square of the noise is its variance. The second answer lacks half of the
    // noise, and a half squared is a quarter.
    [1.0, 0.25]
}
// ANCHOR_END: solutions

// ANCHOR: project
/// One step of algorithm 1 for the images `x0`: draws a timestep and noise for each
/// from `rng`, and moves the weights of `unet`. Returns the loss. `step` is counted
/// from 0.
pub fn train_step(
    step: u64,
    diffusion: &Diffusion,
    unet: &mut UNet<AutoDevice>,
    optimizer: &mut Optimizer<AutoDevice>,
    x0: &Images<AutoDevice>,
    rng: &mut ChaCha8Rng,
) -> f32 {
    let timesteps: Vec<usize> =
        (0..x0.shape().0).map(|_| rng.gen_range(0..diffusion.schedule.len())).collect();
    let eps = standard_normal(x0.device(), *x0.shape(), rng);
    let x_t = diffusion.q_sample(x0, &timesteps, &eps);

    let eps_pred = unet.forward(x_t.put_tape(OwnedTape::default()), &timesteps);
    let loss = (eps_pred - eps).square().mean();
    let value = loss.as_vec()[0];

    let gradient = gradient_of(unet, loss.backward()).expect("the device works");
    optimizer.update(step, unet, &gradient);
    value
}
// ANCHOR_END: project
