//! Solvers by name.

use ch04_unet::model_dir::Model;
use ch06_sampling::{Ancestral, Solver};
use ch07_ddim::flags::{SolverArgs, SolverKind};
use clap::ValueEnum;
use ops::AutoDevice;

/// A solver by name; `None` is ancestral sampling.
#[derive(Clone, Debug)]
pub struct NamedSolver {
    pub name: String,
    pub solver: Option<SolverArgs>,
}

/// The solver of ancestral sampling.
const ANCESTRAL: &str = "ddpm";

/// Reads the name of a solver: `ddpm`, `ddim`, `ddim:ETA`, `dpm-solver++`.
///
/// # Errors
/// If there is no solver of this name.
pub fn named_solver(text: &str) -> Result<NamedSolver, String> {
    let name = text.to_string();
    if text == ANCESTRAL {
        return Ok(NamedSolver { name, solver: None });
    }
    let (kind, eta) =
        text.split_once(':').map_or((text, None), |(kind, eta)| (kind, Some(eta)));
    let solver = SolverKind::from_str(kind, false).map_err(|_| unknown_solver())?;
    let eta = match eta {
        None => 0.0,
        Some(eta) if solver == SolverKind::Ddim => ch07_ddim::flags::eta(eta)?,
        Some(_) => return Err(unknown_solver()),
    };
    Ok(NamedSolver { name, solver: Some(SolverArgs { solver, eta }) })
}

/// Which solvers there are.
fn unknown_solver() -> String {
    let mut names = vec![ANCESTRAL.to_string()];
    for kind in SolverKind::value_variants() {
        names.extend(kind.to_possible_value().map(|value| value.get_name().into()));
        if *kind == SolverKind::Ddim {
            names.push("ddim:ETA".into());
        }
    }
    let last = names.pop().unwrap_or_default();
    format!("a sampler is {} or {last}", names.join(", "))
}

impl NamedSolver {
    /// The solver, set up for this model's diffusion.
    ///
    /// # Errors
    /// If the solver's flags contradict each other.
    pub fn for_model<N>(
        &self,
        model: &Model<N>,
    ) -> anyhow::Result<Box<dyn Solver<AutoDevice>>> {
        match &self.solver {
            Some(solver) => solver.for_model(model),
            None => Ok(Box::new(Ancestral::for_model(model))),
        }
    }
}
