//! A training on disk. The model directory holds the averaged weights, ready to use; `training/` beside it holds what is
//! needed to go on as if never stopped:
//!
//! ```text
//! runs/cats/training/config.json         the TrainConfig
//! runs/cats/training/state.safetensors   step, weights, averages, moments
//! ```
//!
//! The state is a single file that is replaced in one step, so it is whole at any moment. No state of a random number
//! generator is needed: every step's numbers follow from the seed and the step's number.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ch04_unet::model_dir::{self, ModelError};
use ch04_unet::{ConfigError, UNet};
use dfdx::prelude::*;
use ops::layers::Parameters;
use ops::params::{self, HostTensor, NamedTensors, ParamsError};
use ops::UNetDevice;
use rand_chacha::ChaCha8Rng;

use crate::{Flat, TrainConfig, Trainer};

/// The folder in a model directory that holds a training.
pub const TRAINING: &str = "training";
const STATE: &str = "state.safetensors";

/// A training that cannot be stored or continued.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    File(#[from] files::FileError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("{}: {source}", path.display())]
    Params { path: PathBuf, source: ParamsError },
    #[error("{}: {source}", path.display())]
    Config { path: PathBuf, source: ConfigError },
    #[error("{}: the metadata field 'step' is {found}, but a number is needed", path.display())]
    NoStep { path: PathBuf, found: String },
}

fn names_of<D: UNetDevice>(network: &mut impl Parameters<D>) -> Vec<String> {
    struct Names(Vec<String>);
    impl<D: UNetDevice> ops::layers::Visitor<D> for Names {
        fn visit<S: Shape>(&mut self, name: &str, _: &mut Tensor<S, f32, D>) {
            self.0.push(name.to_string());
        }
    }
    let mut names = Names(Vec::new());
    network.visit("", &mut names);
    names.0
}

impl<D: UNetDevice> Trainer<D> {
    /// Writes the state, then the model directory.
    ///
    /// # Errors
    /// If a file cannot be written; what was there before is then still whole.
    pub fn save(&mut self, directory: &Path) -> Result<(), CheckpointError> {
        self.save_state(directory)?;
        let weights = params::to_host(&mut self.averaged());
        Ok(model_dir::save(directory, &self.config.unet, &weights, &self.config.scheduler)?)
    }

    /// Reads the training that [`Trainer::save`] wrote.
    ///
    /// # Errors
    /// If a file is missing, damaged, or does not fit the configuration.
    pub fn load(device: &D, directory: &Path) -> Result<Self, CheckpointError> {
        Self::load_state(device, directory, |config, rng| UNet::new(device, &config.unet, rng))
    }

    /// Whether a directory holds a training.
    pub fn exists(directory: &Path) -> bool {
        directory.join(TRAINING).join(STATE).exists()
    }
}

impl<D: UNetDevice, N: Parameters<D> + Clone> Trainer<D, N> {
    /// Writes what is needed to go on.
    ///
    /// # Errors
    /// If a file cannot be written; what was there before is then still whole.
    pub fn save_state(&mut self, directory: &Path) -> Result<(), CheckpointError> {
        let names = names_of(&mut self.unet);
        let mut tensors = NamedTensors::new();
        for (name, tensor) in params::to_host(&mut self.unet) {
            tensors.insert(format!("weights.{name}"), tensor);
        }
        for (kind, flat) in [("ema", &self.ema.average), ("m", &self.optimizer.m), ("v", &self.optimizer.v)] {
            for (name, values) in names.iter().zip(flat) {
                let values = values.as_vec();
                tensors.insert(format!("{kind}.{name}"), HostTensor { shape: vec![values.len()], values });
            }
        }
        let training = directory.join(TRAINING);
        model_dir::write_json(&training.join("config.json"), &self.config)?;
        let bytes = params::to_safetensors(&tensors, &[("step", self.step.to_string())]);
        Ok(files::write(training.join(STATE), &bytes)?)
    }

    /// Reads what [`Trainer::save_state`] wrote, into what `network` makes.
    ///
    /// # Errors
    /// If a file is missing, damaged, or does not fit the configuration.
    pub fn load_state(
        device: &D,
        directory: &Path,
        network: impl FnOnce(&TrainConfig, &mut ChaCha8Rng) -> Result<N, ConfigError>,
    ) -> Result<Self, CheckpointError> {
        let training = directory.join(TRAINING);
        let config_path = training.join("config.json");
        let config: TrainConfig = model_dir::read_json(&config_path)?;
        let made = Self::of(device, config.clone(), |rng| network(&config, rng));
        let mut trainer = made.map_err(|source| CheckpointError::Config { path: config_path, source })?;
        let path = training.join(STATE);
        let bytes = files::read(&path)?;
        let bad = |source| CheckpointError::Params { path: path.clone(), source };
        let (tensors, metadata) = params::from_safetensors(&bytes).map_err(bad)?;
        let step = metadata.get("step").cloned().unwrap_or_else(|| "missing".into());
        trainer.step = step.parse().map_err(|_| CheckpointError::NoStep { path: path.clone(), found: step })?;

        let mut kinds: BTreeMap<String, NamedTensors> = BTreeMap::new();
        for (name, tensor) in tensors {
            let (kind, rest) = name.split_once('.').unwrap_or(("", &name));
            if !["weights", "ema", "m", "v"].contains(&kind) {
                return Err(bad(ParamsError::Unexpected(name)));
            }
            kinds.entry(kind.into()).or_default().insert(rest.into(), tensor);
        }
        let mut take = |kind: &str| kinds.remove(kind).unwrap_or_default();
        params::from_host(&mut trainer.unet, &take("weights")).map_err(bad)?;
        let names = names_of(&mut trainer.unet);
        for (kind, flat) in
            [("ema", &mut trainer.ema.average), ("m", &mut trainer.optimizer.m), ("v", &mut trainer.optimizer.v)]
        {
            load_flat(kind, &names, take(kind), flat).map_err(bad)?;
        }
        Ok(trainer)
    }
}

fn load_flat<D: UNetDevice>(
    kind: &str,
    names: &[String],
    tensors: NamedTensors,
    flat: &mut Flat<D>,
) -> Result<(), ParamsError> {
    for (name, vector) in names.iter().zip(flat) {
        let full = format!("{kind}.{name}");
        let tensor = tensors.get(name).ok_or_else(|| ParamsError::Missing(full.clone()))?;
        if tensor.values.len() != vector.shape().0 {
            return Err(ParamsError::WrongShape {
                name: full,
                found: tensor.shape.clone(),
                expected: vec![vector.shape().0],
            });
        }
        if let Some(&value) = tensor.values.iter().find(|v| !v.is_finite()) {
            return Err(ParamsError::NotFinite { name: full, value });
        }
        vector.copy_from(&tensor.values);
    }
    match tensors.keys().find(|name| !names.contains(name)) {
        Some(extra) => Err(ParamsError::Unexpected(format!("{kind}.{extra}"))),
        None => Ok(()),
    }
}
