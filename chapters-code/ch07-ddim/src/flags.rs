//! The flags that say which steps to take.

use ch04_unet::model_dir::Model;
use ch06_sampling::Solver;
use clap::ValueEnum;
use ops::UNetDevice;

use crate::{Ddim, DpmSolver, TimestepSpacing};

/// Which timesteps to visit.
#[derive(clap::Args, Clone, Debug)]
pub struct Spacing {
    /// Which timesteps to visit
    #[arg(long, value_enum, default_value = "trailing")]
    pub timestep_spacing: TimestepSpacing,
}

impl Spacing {
    /// The timesteps to visit, out of `len`.
    ///
    /// # Errors
    /// If `len` is less than `steps`.
    pub fn timesteps(&self, len: usize, steps: u32) -> anyhow::Result<Vec<usize>> {
        let steps = steps as usize;
        anyhow::ensure!(
            steps <= len,
            "--steps {steps}: the model knows only {len} timesteps"
        );
        Ok(self.timestep_spacing.timesteps(len, steps, 0))
    }
}

/// How to get from one timestep to the next.
#[derive(clap::Args, Clone, Debug)]
pub struct SolverArgs {
    /// How to get from one timestep to the next
    #[arg(long, value_enum, default_value = "ddim")]
    pub solver: SolverKind,
    /// How much fresh noise a DDIM step adds: 0 means none, 1 as much as ancestral sampling
    #[arg(long, default_value_t = 0.0, value_parser = eta, allow_negative_numbers = true)]
    pub eta: f64,
}

/// How to get from one timestep to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SolverKind {
    /// Denoising diffusion implicit models
    Ddim,
    /// DPM-Solver++ (2M)
    #[value(name = "dpm-solver++")]
    DpmSolver,
}

/// Reads an eta.
///
/// # Errors
/// If the text is not a number from 0 to 1.
pub fn eta(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(eta) if (0.0..=1.0).contains(&eta) => Ok(eta),
        _ => Err("eta must be a number from 0 to 1".into()),
    }
}

impl SolverArgs {
    /// The solver that the flags choose, for a walk with this model.
    ///
    /// # Errors
    /// If the flags contradict each other.
    pub fn for_model<D: UNetDevice, N>(
        &self,
        model: &Model<N>,
    ) -> anyhow::Result<Box<dyn Solver<D>>> {
        anyhow::ensure!(
            self.solver == SolverKind::Ddim || self.eta == 0.0,
            "--eta {}: only DDIM adds noise",
            self.eta
        );
        Ok(match self.solver {
            SolverKind::Ddim => Box::new(Ddim::for_model(model, self.eta)),
            SolverKind::DpmSolver => Box::new(DpmSolver::for_model(model)),
        })
    }
}
