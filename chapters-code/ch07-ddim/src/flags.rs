//! How a program is told in which steps to walk.

use clap::ValueEnum;
use ops::{Images, UNetDevice};
use rand::Rng;

use crate::{Ddim, DpmSolver, TimestepSpacing};

/// Which timesteps to visit.
#[derive(clap::Args, Clone, Debug)]
pub struct Spacing {
    /// Which timesteps to visit
    #[arg(long, value_enum, default_value = "trailing")]
    pub timestep_spacing: TimestepSpacing,
}

impl Spacing {
    /// The timesteps to visit of `len`.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn timesteps(&self, len: usize, steps: u32) -> anyhow::Result<Vec<usize>> {
        let steps = steps as usize;
        anyhow::ensure!(
            steps <= len,
            "--steps {steps}: the model knows {len} timesteps only"
        );
        Ok(self.timestep_spacing.timesteps(len, steps, 0))
    }
}

/// How to get from one timestep to the next.
#[derive(clap::Args, Clone, Debug)]
pub struct Way {
    /// How to get from one timestep to the next
    #[arg(long, value_enum, default_value = "ddim")]
    pub solver: Solver,
    /// How much fresh noise a DDIM step adds: 0 none, 1 as much as ancestral sampling
    #[arg(long, default_value_t = 0.0, value_parser = eta, allow_negative_numbers = true)]
    pub eta: f64,
}

/// How to get from one timestep to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Solver {
    /// Denoising diffusion implicit models
    Ddim,
    /// DPM-Solver++ (2M)
    #[value(name = "dpm-solver++")]
    DpmSolver,
}

fn eta(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(eta) if (0.0..=1.0).contains(&eta) => Ok(eta),
        _ => Err("eta is a number from 0 to 1".into()),
    }
}

impl Way {
    /// Draws images from `x`, which is noise. `ddim` says what the network's answers
    /// mean; its eta is that of the flags.
    ///
    /// # Errors
    /// If the flags contradict each other, or the network's answers are not finite.
    pub fn go<D: UNetDevice>(
        &self,
        ddim: Ddim,
        timesteps: &[usize],
        x: Images<D>,
        rngs: &mut [impl Rng],
        denoise: impl Fn(&Images<D>, usize) -> Images<D>,
    ) -> anyhow::Result<Images<D>> {
        anyhow::ensure!(
            self.solver == Solver::Ddim || self.eta == 0.0,
            "--eta {}: only DDIM adds noise",
            self.eta
        );
        let ddim = Ddim { eta: self.eta, ..ddim };
        let images = match self.solver {
            Solver::Ddim => ddim.sample(x, timesteps, rngs, denoise),
            Solver::DpmSolver => DpmSolver::new(ddim).sample(x, timesteps, denoise),
        };
        anyhow::ensure!(
            images.as_vec().iter().all(|v| v.is_finite()),
            "the network's answers are not finite numbers: the model is damaged or did not learn"
        );
        Ok(images)
    }
}
