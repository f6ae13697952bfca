//! A training run on disk. The model directory holds the averaged weights, ready to use;
//! its subfolder `training/` holds what the run needs to go on as if it had never stopped:
//!
//! ```text
//! runs/cats/training/config.json         the TrainConfig
//! runs/cats/training/state.safetensors   step, weights, averages, moments
//! ```
//!
//! The state is a single file that is replaced in one step, so it is whole at all times. The state
//! of the random number generator is not needed: its numbers at every step follow from the seed and
//! the step's number.

use std::path::{Path, PathBuf};

use ch04_unet::model_dir::{self, ModelError};
use ch04_unet::{ConfigError, UNet};
use files::Disk;
use ops::layers::{Parameters, Zeros};
use ops::params::{self, HostTensor, NamedTensors, Outline, ParamsError};
use ops::UNetDevice;

use crate::{TrainConfig, Trainer};

/// The folder in a model directory that holds a training run.
pub const TRAINING: &str = "training";
const STATE: &str = "state.safetensors";

/// A training run that cannot be stored or continued. An error about a file names the file, and the
/// error's `source` says what is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    File(#[from] files::FileError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("{}", path.display())]
    Params { path: PathBuf, source: ParamsError },
    #[error("{}", path.display())]
    Config { path: PathBuf, source: ConfigError },
    #[error(
        "{}: the metadata field 'step' is {found}, not a whole number up to \
        {MAX_STEPS}",
        path.display()
    )]
    NoStep { path: PathBuf, found: String },
}

/// What a state holds for each tensor of the network, besides the weights themselves: the average
/// and the two moments, as plain lists.
const FLAT: [&str; 3] = ["ema", "m", "v"];

/// The outline of the state, made from the outline of its network.
fn state_outline(network: &Outline) -> Outline {
    let mut state = Outline::default();
    state.append("weights", network.clone());
    for kind in FLAT {
        state.append(kind, network.flat());
    }
    state
}

impl<D: UNetDevice> Trainer<D> {
    /// Writes the state, then the model directory.
    ///
    /// # Errors
    /// If a file cannot be written; what was there before is left intact.
    pub fn save(&mut self, directory: &Path) -> Result<(), CheckpointError> {
        self.save_state(directory)?;
        let weights = params::to_host(&mut self.averaged());
        Ok(model_dir::save(
            directory,
            &self.config.unet,
            &weights,
            &self.config.scheduler,
        )?)
    }

    /// Reads the training run that [`Trainer::save`] wrote.
    ///
    /// # Errors
    /// If a file is missing or damaged, or does not fit the configuration.
    pub fn load(device: &D, directory: &Path) -> Result<Self, CheckpointError> {
        let outline = |config: &TrainConfig| config.unet.outline();
        Self::load_state(device, directory, outline, |config, zeros| {
            UNet::new(device, &config.unet, zeros)
        })
    }

    /// Whether a directory holds a training run.
    pub fn exists(directory: &Path) -> bool {
        directory.join(TRAINING).join(STATE).exists()
    }
}

impl<D: UNetDevice, N: Parameters<D> + Clone> Trainer<D, N> {
    /// Writes what is needed to continue the training.
    ///
    /// # Errors
    /// If a file cannot be written; what was there before is left intact.
    pub fn save_state(&mut self, directory: &Path) -> Result<(), CheckpointError> {
        let outline = Outline::for_model(&mut self.network);
        let mut tensors = NamedTensors::new();
        for (name, tensor) in params::to_host(&mut self.network) {
            tensors.insert(format!("weights.{name}"), tensor);
        }
        let flat = [&self.ema.average, &self.optimizer.m, &self.optimizer.v];
        for (kind, flat) in FLAT.into_iter().zip(flat) {
            for ((name, _), values) in outline.iter().zip(flat) {
                let values = values.as_vec();
                tensors.insert(
                    format!("{kind}.{name}"),
                    HostTensor { shape: vec![values.len()], values },
                );
            }
        }
        let training = directory.join(TRAINING);
        model_dir::write_json(&training.join("config.json"), &self.config)?;
        let bytes =
            params::to_safetensors(&tensors, &[("step", self.step.to_string())]);
        Ok(files::write(training.join(STATE), &bytes)?)
    }

    /// Reads what [`Trainer::save_state`] wrote, into the network that `network` makes.
    /// `outline` lists that network's tensors, so that the files are checked before the network
    /// takes up memory.
    ///
    /// # Errors
    /// If a file is missing or damaged, or does not fit the configuration.
    pub fn load_state(
        device: &D,
        directory: &Path,
        outline: impl FnOnce(&TrainConfig) -> Result<Outline, ConfigError>,
        network: impl FnOnce(&TrainConfig, &mut Zeros) -> Result<N, ConfigError>,
    ) -> Result<Self, CheckpointError> {
        let path = directory.join(TRAINING).join("config.json");
        let config: TrainConfig = model_dir::read_json(&Disk, &path)?;
        let bad = |source| CheckpointError::Config { path: path.clone(), source };
        config.check().map_err(bad)?;
        let outline = outline(&config).map_err(bad)?;
        let (step, tensors) =
            read_state(&directory.join(TRAINING).join(STATE), &outline)?;
        let network = network(&config, &mut Zeros).map_err(bad)?;
        let mut trainer = Self::with_network(device, config, network).map_err(bad)?;
        trainer.step = step;
        trainer.set_state(&tensors);
        Ok(trainer)
    }

    /// Copies the tensors of a matching state into the trainer.
    fn set_state(&mut self, tensors: &NamedTensors) {
        params::set(&mut self.network, "weights", tensors);
        let outline = Outline::for_model(&mut self.network);
        let flat =
            [&mut self.ema.average, &mut self.optimizer.m, &mut self.optimizer.v];
        for (kind, flat) in FLAT.into_iter().zip(flat) {
            for ((name, _), vector) in outline.iter().zip(flat) {
                vector.copy_from(&tensors[&format!("{kind}.{name}")].values);
            }
        }
    }
}

/// More steps than anyone trains for. With this bound, steps times batch size cannot
/// overflow.
pub const MAX_STEPS: u64 = 1_000_000_000_000;

/// Reads the step and the tensors from the state of a network with this outline.
fn read_state(
    path: &Path,
    network: &Outline,
) -> Result<(u64, NamedTensors), CheckpointError> {
    let bytes = files::read(path)?;
    let bad = |source| CheckpointError::Params { path: path.into(), source };
    let (tensors, metadata) = params::from_safetensors(&bytes).map_err(bad)?;
    let found = metadata.get("step").map_or("missing", String::as_str);
    let step = found.parse().ok().filter(|step| *step <= MAX_STEPS);
    let no_step = || CheckpointError::NoStep { path: path.into(), found: found.into() };
    let step = step.ok_or_else(no_step)?;
    state_outline(network).check(&tensors).map_err(bad)?;
    params::check_finite(&tensors).map_err(bad)?;
    Ok((step, tensors))
}
