//! Your answers. `cargo test -p ch06-sampling --test exercises` says whether they are
//! right.
#![allow(unused_variables, unused_imports)]

use ch02_schedule::Schedule;
use ch04_unet::model_dir::Model;
use ch04_unet::UNet;
use ch06_sampling::{
    all_timesteps, denoiser, noise_per_image, sources, walk, Ancestral,
};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

/// By how much an error of 1 in the predicted noise moves the predicted clean image at
/// timestep `t`.
pub fn error_in_x0(schedule: &Schedule, t: usize) -> f64 {
    todo!()
}

/// The mean of a step back, straight from the predicted noise, without predicting the
/// clean image on the way (eq. 11 of the DDPM paper).
pub fn mean_from_eps(
    schedule: &Schedule,
    t: usize,
    x_t: &Images<AutoDevice>,
    eps: &Images<AutoDevice>,
) -> Images<AutoDevice> {
    todo!()
}

/// How many of the last steps, down to timestep 0, together add less than `share` of
/// the variance that all steps add.
pub fn quiet_end(schedule: &Schedule, share: f64) -> usize {
    todo!()
}

/// The cats at the ends of `count` walks that branch at timestep `t`: all follow the walk of image
/// number `image` of seed 0 as far as x_t, and from there each continues with noise of its own.
/// The solver is `Ancestral::for_model(model)`.
pub fn branches(
    device: &AutoDevice,
    model: &Model<UNet<AutoDevice>>,
    image: u64,
    t: usize,
    count: u64,
) -> Images<AutoDevice> {
    todo!()
}
