//! Your answers. `cargo test -p ch08-conditioning --test exercises` says whether they
//! are right.
#![allow(unused_variables, unused_imports)]

use ch04_unet::model_dir::Model;
use ch06_sampling::walk;
use ch07_ddim::Ddim;
use ch08_conditioning::{Condition, ConditionalUNet};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

/// The answer that guidance forms from two answers of the network.
pub fn guide(uncond: &[f32], cond: &[f32], guidance_scale: f32) -> Vec<f32> {
    todo!()
}

/// The scale at which guidance gives this answer, if there is one scale that fits all values.
pub fn scale_of(uncond: &[f32], cond: &[f32], guided: &[f32]) -> f32 {
    todo!()
}

/// Two wishes at once: from `uncond` towards both, each with its own scale
/// (Liu et al. 2022).
pub fn both(uncond: &[f32], wishes: &[(&[f32], f32)]) -> Vec<f32> {
    todo!()
}

/// The cats that [`Ddim`] draws from `noise` over `timesteps`, without fresh
/// noise, if the network is told `first` while `t >= until`, and `then` afterwards.
/// No guidance is used.
pub fn change_of_mind(
    model: &Model<ConditionalUNet<AutoDevice>>,
    noise: &Images<AutoDevice>,
    timesteps: &[usize],
    [first, then]: [&Condition; 2],
    until: usize,
) -> Images<AutoDevice> {
    todo!()
}
