//! A model on disk: the folder that a `DDPMPipeline` of diffusers writes and reads.
//!
//! ```text
//! runs/cats/model_index.json
//! runs/cats/unet/config.json
//! runs/cats/unet/diffusion_pytorch_model.safetensors
//! runs/cats/scheduler/scheduler_config.json
//! ```

use std::path::{Path, PathBuf};

use ch02_schedule::{betas, BetaSchedule, Schedule};
use ch03_forward::PredictionType;
use ops::params::{self, NamedTensors, ParamsError};
use ops::UNetDevice;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, UNet, UNetConfig};

/// Which variance a sampling step adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum VarianceType {
    /// The posterior variance of DDPM eq. 7, right if every image were the same
    FixedSmall,
    /// Beta itself, right if images were pure noise
    FixedLarge,
}

/// The noise schedule and how to sample, field for field the config of diffusers' `DDPMScheduler`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerConfig {
    pub _class_name: String,
    pub _diffusers_version: String,
    pub beta_end: f64,
    pub beta_schedule: BetaSchedule,
    pub beta_start: f64,
    /// Whether predicted images are cut off at ±`clip_sample_range`.
    pub clip_sample: bool,
    pub clip_sample_range: f64,
    pub dynamic_thresholding_ratio: f64,
    pub num_train_timesteps: usize,
    pub prediction_type: PredictionType,
    pub rescale_betas_zero_snr: bool,
    pub sample_max_value: f64,
    pub steps_offset: i64,
    pub thresholding: bool,
    pub timestep_spacing: String,
    pub trained_betas: Option<Vec<f64>>,
    pub variance_type: VarianceType,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            _class_name: "DDPMScheduler".into(),
            _diffusers_version: "0.30.0".into(),
            beta_end: ch02_schedule::BETA_END,
            beta_schedule: BetaSchedule::Linear,
            beta_start: ch02_schedule::BETA_START,
            clip_sample: true,
            clip_sample_range: 1.0,
            dynamic_thresholding_ratio: 0.995,
            num_train_timesteps: 1000,
            prediction_type: PredictionType::Epsilon,
            rescale_betas_zero_snr: false,
            sample_max_value: 1.0,
            steps_offset: 0,
            thresholding: false,
            timestep_spacing: "leading".into(),
            trained_betas: None,
            variance_type: VarianceType::FixedSmall,
        }
    }
}

impl SchedulerConfig {
    /// The schedule that the config describes.
    ///
    /// # Errors
    /// Names a field whose value is not supported.
    pub fn schedule(&self) -> Result<Schedule, ConfigError> {
        let refuse =
            |field: &'static str, value: String, need: &str| Err(ConfigError { field, value, need: need.into() });
        if self._class_name != "DDPMScheduler" {
            return refuse("_class_name", format!("\"{}\"", self._class_name), "only \"DDPMScheduler\" is supported");
        }
        if self.thresholding {
            return refuse("thresholding", "true".into(), "only false is supported");
        }
        if self.rescale_betas_zero_snr {
            return refuse("rescale_betas_zero_snr", "true".into(), "only false is supported");
        }
        if self.num_train_timesteps == 0 {
            return refuse("num_train_timesteps", "0".into(), "it must be at least 1");
        }
        if !(self.beta_start > 0.0 && self.beta_start <= self.beta_end && self.beta_end < 1.0) {
            return refuse("beta_start", self.beta_start.to_string(), "0 < beta_start <= beta_end < 1 must hold");
        }
        if self.clip_sample_range.is_nan() || self.clip_sample_range <= 0.0 {
            return refuse("clip_sample_range", self.clip_sample_range.to_string(), "it must be positive");
        }
        let betas = match &self.trained_betas {
            None => betas(self.beta_schedule, self.num_train_timesteps, self.beta_start, self.beta_end),
            Some(given) if given.len() == self.num_train_timesteps && given.iter().all(|&b| b > 0.0 && b < 1.0) => {
                given.clone()
            }
            Some(given) => {
                return refuse(
                    "trained_betas",
                    format!("{} values", given.len()),
                    "there must be num_train_timesteps values between 0 and 1",
                )
            }
        };
        Ok(Schedule::from_betas(betas))
    }

    /// By how much predicted images are cut off, if at all.
    pub fn clip(&self) -> Option<f32> {
        self.clip_sample.then_some(self.clip_sample_range as f32)
    }
}

/// A model directory that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    File(#[from] files::FileError),
    #[error("{}: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}: {source}", path.display())]
    Config { path: PathBuf, source: ConfigError },
    #[error("{}: {source}", path.display())]
    Params { path: PathBuf, source: ParamsError },
    #[error("{} is not a model directory: it has neither model_index.json nor config.json (train a model with `cargo run -p ch05-train`, or give another --model)", .0.display())]
    NotAModel(PathBuf),
    #[error("{}: the pipeline is a {found}, but only DDPMPipeline is read here", path.display())]
    WrongPipeline { path: PathBuf, found: String },
}

/// A trained network and the schedule that it was trained with.
#[derive(Clone, Debug)]
pub struct Model<D: UNetDevice> {
    pub unet: UNet<D>,
    pub schedule: Schedule,
    pub scheduler: SchedulerConfig,
}

/// Images that a model cannot draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("the network takes {takes} channels and gives {gives}: it does not denoise")]
    DoesNotDenoise { takes: usize, gives: usize },
    #[error("the config has no sample_size: say which with --image-size")]
    NoSize,
    #[error("images of side {side} do not fit: this network needs a multiple of {factor} (--image-size)")]
    WrongSize { side: usize, factor: usize },
}

impl<D: UNetDevice> Model<D> {
    /// Channels, height and width of the images that the model draws, of the given side or of its own.
    ///
    /// # Errors
    /// If the network does not give what it takes, or cannot take images of that size.
    pub fn image_shape(&self, side: Option<usize>) -> Result<[usize; 3], ShapeError> {
        let config = self.unet.config();
        let (takes, gives) = (config.in_channels, config.out_channels);
        if takes != gives {
            return Err(ShapeError::DoesNotDenoise { takes, gives });
        }
        let own = config.input_shape();
        let shape = side.map(|side| [takes, side, side]).or(own).ok_or(ShapeError::NoSize)?;
        let factor = config.size_factor();
        match shape[1..].iter().find(|side| !side.is_multiple_of(factor)) {
            Some(&side) => Err(ShapeError::WrongSize { side, factor }),
            None => Ok(shape),
        }
    }
}

/// The folder in a model directory that holds what chapter 8 adds. Without it the model draws what it likes.
pub const CONDITIONING: &str = "conditioning";
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// Whether a model can also be told what to draw (chapter 8).
pub fn is_conditional(directory: &Path) -> bool {
    files::exists(directory.join(CONDITIONING))
}

/// Reads a JSON file.
///
/// # Errors
/// If it is missing or does not have the expected fields; the message names the field.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ModelError> {
    let bytes = files::read(path)?;
    serde_json::from_slice(&bytes).map_err(|source| ModelError::Json { path: path.into(), source })
}

/// Writes a JSON file as diffusers formats it.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ModelError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|source| ModelError::Json { path: path.into(), source })?;
    text.push('\n');
    Ok(files::write(path, text.as_bytes())?)
}

/// Reads tensors from a safetensors file.
///
/// # Errors
/// If the file is missing or damaged.
pub fn read_tensors(path: &Path) -> Result<NamedTensors, ModelError> {
    let bytes = files::read(path)?;
    let tensors =
        params::from_safetensors(&bytes).map_err(|source| ModelError::Params { path: path.into(), source })?;
    Ok(tensors.0)
}

/// Reads a model directory, or the directory of a single `UNet2DModel` (with the default schedule).
///
/// # Errors
/// If a file is missing or damaged, or describes something that this crate cannot build.
pub fn load<D: UNetDevice>(device: &D, directory: &Path) -> Result<Model<D>, ModelError> {
    let index = directory.join("model_index.json");
    let (unet_dir, scheduler) = if files::exists(&index) {
        let value: serde_json::Value = read_json(&index)?;
        let found = value["_class_name"].as_str().unwrap_or("nameless pipeline");
        if found != "DDPMPipeline" {
            return Err(ModelError::WrongPipeline { path: index, found: found.into() });
        }
        let path = directory.join("scheduler/scheduler_config.json");
        (directory.join("unet"), read_json::<SchedulerConfig>(&path)?)
    } else if files::exists(directory.join("config.json")) {
        (directory.to_path_buf(), SchedulerConfig::default())
    } else {
        return Err(ModelError::NotAModel(directory.into()));
    };
    let schedule = scheduler.schedule();
    let schedule = schedule
        .map_err(|source| ModelError::Config { path: directory.join("scheduler/scheduler_config.json"), source })?;
    let config_path = unet_dir.join("config.json");
    let config: UNetConfig = read_json(&config_path)?;
    // The weights replace these, so any seed will do.
    let unet = UNet::new(device, &config, &mut ch03_forward::rng(0, 0));
    let mut unet = unet.map_err(|source| ModelError::Config { path: config_path, source })?;
    let path = unet_dir.join(WEIGHTS);
    let tensors = read_tensors(&path)?;
    params::from_host(&mut unet, &tensors).map_err(|source| ModelError::Params { path, source })?;
    Ok(Model { unet, schedule, scheduler })
}

/// Writes a model directory. Each file is replaced in one step.
///
/// # Errors
/// If a file cannot be written.
pub fn save(
    directory: &Path,
    config: &UNetConfig,
    weights: &NamedTensors,
    scheduler: &SchedulerConfig,
) -> Result<(), ModelError> {
    let bytes = params::to_safetensors(weights, &[("format", "pt".into())]);
    files::write(directory.join("unet").join(WEIGHTS), &bytes)?;
    write_json(&directory.join("unet/config.json"), config)?;
    write_json(&directory.join("scheduler/scheduler_config.json"), scheduler)?;
    let index = serde_json::json!({
        "_class_name": "DDPMPipeline",
        "_diffusers_version": config._diffusers_version,
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    });
    write_json(&directory.join("model_index.json"), &index)
}
