use ch02_schedule::Schedule;
use ch03_forward::{per_image, Diffusion, PredictionType};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};
use rand::Rng;
use serde::{Deserialize, Serialize};

// ANCHOR: l_simple
/// L_simple (DDPM eq. 14): the mean squared error between the output of `network` for
/// x_t and what it should predict. With an `OwnedTape` as `T`, the result remembers how
/// it came about, and can be differentiated.
///
/// `x0` and `eps` are `(batch, channels, h, w)`; there is one timestep per image.
pub fn l_simple<D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    diffusion: &Diffusion,
    x0: &Images<D>,
    timesteps: &[usize],
    eps: &Images<D>,
    network: impl FnOnce(Images<D, T>, &[usize]) -> Images<D, T>,
) -> Tensor<Rank0, f32, D, T> {
    squared_error(diffusion, x0, timesteps, eps, network).mean()
}

/// The squared error of each value.
fn squared_error<D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    diffusion: &Diffusion,
    x0: &Images<D>,
    timesteps: &[usize],
    eps: &Images<D>,
    network: impl FnOnce(Images<D, T>, &[usize]) -> Images<D, T>,
) -> Images<D, T> {
    let x_t = diffusion.q_sample(x0, timesteps, eps);
    let output = network(x_t.put_tape(T::default()), timesteps);
    let target = diffusion.target(x0, timesteps, eps);
    (output - target).square()
}
// ANCHOR_END: l_simple

/// What is minimised: how timesteps are drawn, and how much each of them counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    #[serde(default)]
    pub timesteps: TimestepSampling,
    #[serde(default)]
    pub weighting: LossWeighting,
}

// ANCHOR: bound_weight
/// How much weight the variational bound gives the squared error of the noise at `t`
/// (DDPM eq. 12), if the step back has the posterior variance. At t = 0 the step has a
/// term of its own.
pub fn bound_weight(schedule: &Schedule, t: usize) -> f64 {
    let (beta, alpha) = (schedule.betas[t], schedule.alphas[t]);
    let noise = 1.0 - schedule.alpha_bar[t];
    beta * beta / (2.0 * schedule.posterior_variance(t) * alpha * noise)
}
// ANCHOR_END: bound_weight

// ANCHOR: timesteps
/// How the timesteps of a batch are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum TimestepSampling {
    /// Each on its own.
    #[default]
    Independent,
    /// One from each of several equal ranges, so that every batch has early, middle and
    /// late ones (Kingma et al. 2021, appendix I.1).
    Stratified,
}

impl TimestepSampling {
    /// `count` timesteps below `total`.
    pub fn draw(self, total: usize, count: usize, rng: &mut impl Rng) -> Vec<usize> {
        match self {
            Self::Independent => (0..count).map(|_| rng.gen_range(0..total)).collect(),
            Self::Stratified => {
                let u: f64 = rng.gen();
                let place = |i: usize| (i as f64 + u) / count as f64;
                (0..count).map(|i| (place(i) * total as f64) as usize).collect()
            }
        }
    }
}
// ANCHOR_END: timesteps

// ANCHOR: weighting
/// How much the squared error at a timestep counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum LossWeighting {
    /// The same at every timestep.
    #[default]
    Simple,
    /// As an error in x0, weighted by the signal-to-noise ratio, but by no more than 5
    /// (Hang et al. 2023, section 3.4).
    MinSnr,
}

impl LossWeighting {
    /// The factor by which the squared error at a timestep is multiplied.
    pub fn weight(self, diffusion: &Diffusion, t: usize) -> f64 {
        let alpha_bar = diffusion.schedule.alpha_bar[t];
        let snr = alpha_bar / (1.0 - alpha_bar);
        match (self, diffusion.prediction_type) {
            (Self::Simple, _) => 1.0,
            (Self::MinSnr, PredictionType::Sample) => snr.min(5.0),
            (Self::MinSnr, PredictionType::Epsilon) => snr.min(5.0) / snr,
            (Self::MinSnr, PredictionType::VPrediction) => snr.min(5.0) / (snr + 1.0),
        }
    }
}
// ANCHOR_END: weighting

// ANCHOR: weighted_loss
/// Like [`l_simple`], but with a weight for each timestep.
pub fn weighted_loss<D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    diffusion: &Diffusion,
    weighting: LossWeighting,
    x0: &Images<D>,
    timesteps: &[usize],
    eps: &Images<D>,
    network: impl FnOnce(Images<D, T>, &[usize]) -> Images<D, T>,
) -> Tensor<Rank0, f32, D, T> {
    let weights: Vec<f64> =
        timesteps.iter().map(|&t| weighting.weight(diffusion, t)).collect();
    let error = squared_error(diffusion, x0, timesteps, eps, network);
    (error * per_image(x0, &weights)).mean()
}
// ANCHOR_END: weighted_loss
