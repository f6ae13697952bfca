//! How many bits an image costs: the variational bound, timestep by timestep.
//!
//! Equation numbers are those of the DDPM paper (Ho et al. 2020).

use std::f64::consts::{LN_2, SQRT_2};

use ch02_schedule::Schedule;
use ch04_unet::model_dir::VarianceType;
use ch06_sampling::{posterior_mean, step_variance};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};

// ANCHOR: term
/// What the step back from `t` adds to the bound of each image, in bits per dimension
/// (L_t of eq. 5). The last step, t = 0, costs what is left to say about the bytes.
///
/// All images are `(batch, channels, h, w)`; the values of `x0` must be those of bytes.
pub fn bound_term<D: UNetDevice>(
    schedule: &Schedule,
    kind: VarianceType,
    x_t: &Images<D>,
    t: usize,
    x0: &Images<D>,
    x0_pred: &Images<D>,
) -> Vec<f64> {
    let best = posterior_mean(schedule, x_t, t, x0).as_vec();
    let mean = posterior_mean(schedule, x_t, t, x0_pred).as_vec();
    let nats: Vec<f64> = if t == 0 {
        // The posterior variance is 0 here. The one at t = 1 takes its place, whatever
        // `kind` is, as in the paper's published code.
        let deviation = schedule.posterior_variance(1).sqrt();
        let bytes = x0.as_vec();
        bytes.iter().zip(&mean).map(|(&x0, &mean)| byte(x0, mean, deviation)).collect()
    } else {
        let (best_variance, variance) =
            (schedule.posterior_variance(t), step_variance(schedule, kind, t));
        let pairs = best.iter().zip(&mean);
        pairs.map(|(&b, &m)| divergence(b, best_variance, m, variance)).collect()
    };
    per_image(&nats, x0.shape().0)
}

/// KL(N(a, variance_a) ‖ N(b, variance_b)) for one number, in nats.
fn divergence(a: f32, variance_a: f64, b: f32, variance_b: f64) -> f64 {
    let ratio = variance_a / variance_b;
    let apart = (a as f64 - b as f64).powi(2) / variance_b;
    0.5 * (ratio - 1.0 - ratio.ln() + apart)
}
// ANCHOR_END: term

// ANCHOR: byte
/// What the value of a byte costs under N(mean, deviation²), in nats (eq. 13): -ln of
/// the mass between half a unit below it and half a unit above, with no lower limit for
/// 0 and no upper limit for 255.
fn byte(value: f32, mean: f32, deviation: f64) -> f64 {
    const HALF: f64 = 1.0 / 255.0;
    let at = |edge: f64| (value as f64 + edge - mean as f64) / deviation;
    let low = if value < -1.0 + HALF as f32 { f64::NEG_INFINITY } else { at(-HALF) };
    let high = if value > 1.0 - HALF as f32 { f64::INFINITY } else { at(HALF) };
    -mass(low, high).max(f64::MIN_POSITIVE).ln()
}

/// The mass of the standard normal distribution between two points.
fn mass(low: f64, high: f64) -> f64 {
    // Mirrored into the tail, where the numbers are small and their difference is
    // exact.
    if low > 0.0 {
        return mass(-high, -low);
    }
    0.5 * (libm::erfc(-high / SQRT_2) - libm::erfc(-low / SQRT_2))
}
// ANCHOR_END: byte

// ANCHOR: prior
/// What the noisiest version of each image still says about it, in bits per dimension
/// (L_T of eq. 5). It does not depend on the network.
pub fn prior_term<D: UNetDevice>(schedule: &Schedule, x0: &Images<D>) -> Vec<f64> {
    let alpha_bar = schedule.alpha_bar[schedule.len() - 1];
    let kept = alpha_bar.sqrt() as f32;
    let values = x0.as_vec();
    let nats: Vec<f64> = values
        .iter()
        .map(|&x| divergence(kept * x, 1.0 - alpha_bar, 0.0, 1.0))
        .collect();
    per_image(&nats, x0.shape().0)
}
// ANCHOR_END: prior

/// The mean over the dimensions of each image, in bits.
fn per_image(nats: &[f64], batch: usize) -> Vec<f64> {
    let dimensions = nats.len() / batch;
    let bits = |image: &[f64]| image.iter().sum::<f64>() / dimensions as f64 / LN_2;
    nats.chunks(dimensions).map(bits).collect()
}
