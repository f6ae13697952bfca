//! One way to answer.

use ch04_unet::model_dir::Model;
use ch06_sampling::walk;
use ch07_ddim::Ddim;
use ch08_conditioning::{Condition, ConditionalUNet};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

// ANCHOR: solutions
/// The answer that guidance forms from two answers of the network.
pub fn guide(uncond: &[f32], cond: &[f32], guidance_scale: f32) -> Vec<f32> {
    uncond.iter().zip(cond).map(|(u, c)| u + guidance_scale * (c - u)).collect()
}

/// The scale at which guidance gives this answer, if there is one scale that fits all
/// values.
pub fn scale_of(uncond: &[f32], cond: &[f32], guided: &[f32]) -> f32 {
    // How far the answer goes along the way from `uncond` to `cond` (least
    // squares).
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let difference = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f32>>()
    };
    let (shown, gone) = (difference(cond, uncond), difference(guided, uncond));
    dot(&gone, &shown) / dot(&shown, &shown)
}

/// Two wishes at once: from `uncond` towards both, each with its own scale
/// (Liu et al. 2022).
pub fn both(uncond: &[f32], wishes: &[(&[f32], f32)]) -> Vec<f32> {
    let mut sum = uncond.to_vec();
    for (cond, scale) in wishes {
        for ((sum, u), c) in sum.iter_mut().zip(uncond).zip(*cond) {
            *sum += scale * (c - u);
        }
    }
    sum
}
// ANCHOR_END: solutions

// ANCHOR: project
/// The cats that [`Ddim`] draws from `noise` over `timesteps`, without fresh noise, if
/// the network is told `first` while `t >= until`, and `then` afterwards. No guidance
/// is used.
pub fn change_of_mind(
    model: &Model<ConditionalUNet<AutoDevice>>,
    noise: &Images<AutoDevice>,
    timesteps: &[usize],
    [first, then]: [&Condition; 2],
    until: usize,
) -> Images<AutoDevice> {
    let count = noise.shape().0;
    let denoise = |x_t: &Images<AutoDevice>, t: usize| {
        let condition = if t >= until { first } else { then };
        model.network.forward(
            x_t.clone(),
            &vec![t; count],
            &vec![condition.clone(); count],
        )
    };
    let ddim = Ddim::for_model(model, 0.0);
    walk(ddim, noise.clone(), timesteps, Vec::new(), denoise).finish()
}
// ANCHOR_END: project
