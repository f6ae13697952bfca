//! Chapter 2: the noise schedule.
//!
//! A schedule gives the amount of noise that each of `T` steps adds. Everything else
//! follows from these `T` numbers. Timesteps are counted from 0 here; the papers count from 1, so
//! their β₁ is our `betas[0]`.
//!
//! DDPM is Ho, Jain & Abbeel 2020, <https://arxiv.org/abs/2006.11239>.

use serde::{Deserialize, Serialize};

// ANCHOR: kinds
/// The shapes that a schedule can have, named as in Hugging Face diffusers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
#[cfg_attr(feature = "program", value(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Betas rise along a straight line (DDPM, section 4)
    Linear,
    /// The roots of the betas rise along a straight line (Rombach et al. 2022)
    ScaledLinear,
    /// alpha_bar falls like a squared cosine (Nichol & Dhariwal 2021, eq. 17)
    SquaredcosCapV2,
    /// Betas rise along an S-curve (Xu et al. 2022)
    Sigmoid,
}
// ANCHOR_END: kinds

impl BetaSchedule {
    /// Every shape.
    pub const ALL: [Self; 4] =
        [Self::Linear, Self::ScaledLinear, Self::SquaredcosCapV2, Self::Sigmoid];

    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::ScaledLinear => "scaled_linear",
            Self::SquaredcosCapV2 => "squaredcos_cap_v2",
            Self::Sigmoid => "sigmoid",
        }
    }
}

// ANCHOR: betas
/// The variance of the noise that each of `timesteps` steps adds. `start` and `end`
/// bound it, except for `SquaredcosCapV2`, which has bounds of its own.
pub fn betas(kind: BetaSchedule, timesteps: usize, start: f64, end: f64) -> Vec<f64> {
    let last = (timesteps.max(2) - 1) as f64;
    let line = |from: f64, to: f64, t: usize| from + (to - from) * t as f64 / last;
    (0..timesteps)
        .map(|t| match kind {
            BetaSchedule::Linear => line(start, end, t),
            BetaSchedule::ScaledLinear => line(start.sqrt(), end.sqrt(), t).powi(2),
            BetaSchedule::SquaredcosCapV2 => cosine_beta(t, timesteps),
            BetaSchedule::Sigmoid => {
                start + (end - start) / (1.0 + (-line(-6.0, 6.0, t)).exp())
            }
        })
        .collect()
}
// ANCHOR_END: betas

// ANCHOR: cosine
/// The beta that makes alpha_bar follow f(t) / f(0), where
/// f(t) = cos²((t/T + s) / (1 + s) · π/2) and s = 0.008 (Nichol & Dhariwal 2021,
/// eq. 17), but at most 0.999, so that the last step leaves something of the image.
fn cosine_beta(t: usize, timesteps: usize) -> f64 {
    let f = |t: usize| {
        let angle =
            (t as f64 / timesteps as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2;
        angle.cos().powi(2)
    };
    (1.0 - f(t + 1) / f(t)).min(0.999)
}
// ANCHOR_END: cosine

// ANCHOR: schedule
/// A schedule and what follows from it, in f64. Index `t` runs over `0..len()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// βₜ: variance of the noise added at step t.
    pub betas: Vec<f64>,
    /// αₜ = 1 - βₜ: what is kept of the image's variance at step t.
    pub alphas: Vec<f64>,
    /// ᾱₜ = α₀ · … · αₜ: what is kept after all steps up to t (DDPM, above eq. 4).
    pub alpha_bar: Vec<f64>,
}
// ANCHOR_END: schedule

impl Schedule {
    // ANCHOR: from_betas
    /// The schedule with these betas.
    ///
    /// # Panics
    /// If there are none, or one lies outside (0, 1).
    pub fn from_betas(betas: Vec<f64>) -> Self {
        assert!(!betas.is_empty(), "a schedule needs at least one timestep");
        assert!(
            betas.iter().all(|&beta| beta > 0.0 && beta < 1.0),
            "every beta must lie between 0 and 1"
        );
        let alphas: Vec<f64> = betas.iter().map(|beta| 1.0 - beta).collect();
        let mut product = 1.0;
        let alpha_bar = alphas.iter().map(|alpha| {
            product *= alpha;
            product
        });
        Self { alpha_bar: alpha_bar.collect(), alphas, betas }
    }

    /// A named schedule over the range of the DDPM paper, 1e-4 to 0.02.
    pub fn new(kind: BetaSchedule, timesteps: usize) -> Self {
        Self::from_betas(betas(kind, timesteps, BETA_START, BETA_END))
    }
    // ANCHOR_END: from_betas

    /// T, the number of timesteps.
    pub fn len(&self) -> usize {
        self.betas.len()
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.betas.is_empty()
    }

    // ANCHOR: derived
    /// ᾱ one step before t; before the first step nothing has been lost, so ᾱ is 1.
    pub fn alpha_bar_prev(&self, t: usize) -> f64 {
        if t == 0 {
            1.0
        } else {
            self.alpha_bar[t - 1]
        }
    }

    /// Signal-to-noise ratio ᾱₜ / (1 - ᾱₜ).
    pub fn snr(&self, t: usize) -> f64 {
        self.alpha_bar[t] / (1.0 - self.alpha_bar[t])
    }

    /// The variance of q(x_{t-1} | x_t, x_0) (DDPM eq. 7). 0 at t = 0.
    pub fn posterior_variance(&self, t: usize) -> f64 {
        (1.0 - self.alpha_bar_prev(t)) / (1.0 - self.alpha_bar[t]) * self.betas[t]
    }

    /// The coefficients of x0 and of x_t in the mean of q(x_{t-1} | x_t, x_0)
    /// (DDPM eq. 7).
    pub fn posterior_mean_coefficients(&self, t: usize) -> (f64, f64) {
        let rest = 1.0 - self.alpha_bar[t];
        let of_x0 = self.alpha_bar_prev(t).sqrt() * self.betas[t] / rest;
        let of_x_t = self.alphas[t].sqrt() * (1.0 - self.alpha_bar_prev(t)) / rest;
        (of_x0, of_x_t)
    }
    // ANCHOR_END: derived
}

// ANCHOR: raised
/// First and last beta of a schedule that is about as noisy after `timesteps` steps as
/// the DDPM paper's is after a thousand: with fewer steps, each adds proportionally
/// more noise.
pub fn raised_betas(timesteps: usize) -> (f64, f64) {
    let factor = 1000.0 / timesteps as f64;
    ((factor * BETA_START).min(0.999), (factor * BETA_END).min(0.999))
}
// ANCHOR_END: raised

/// β of the first step in the DDPM paper.
pub const BETA_START: f64 = 1e-4;
/// β of the last step in the DDPM paper.
pub const BETA_END: f64 = 0.02;

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch02.md")]
struct Page;
