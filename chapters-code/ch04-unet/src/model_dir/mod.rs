//! A model on disk: the folder that a `DDPMPipeline` of diffusers writes and reads.
//!
//! ```text
//! runs/cats/model_index.json
//! runs/cats/unet/config.json
//! runs/cats/unet/diffusion_pytorch_model.safetensors
//! runs/cats/scheduler/scheduler_config.json
//! ```
//!
//! Everything may also lie in one folder; the folder of a single network can be read,
//! too; and weights may be in several files.

mod json;
mod scheduler;
mod weights;

use std::path::{Path, PathBuf};

use ch03_forward::Diffusion;
use files::{Disk, Files};
use ops::layers::Zeros;
use ops::params::{self, NamedTensors, ParamsError};
use ops::UNetDevice;
use serde_json::Value;

use self::json::read_config;
pub use self::json::{read_json, write_json, DiffusersConfig};
pub use self::scheduler::{SchedulerConfig, VarianceType, MAX_TIMESTEPS};
pub use self::weights::read_tensors;
use self::weights::{read_weights, WEIGHTS};
use crate::{ConfigError, UNet, UNetConfig};

/// A model directory that cannot be read or written. An error about a file names the file, and the
/// error's `source` says what is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    File(#[from] files::FileError),
    #[error("{}", path.display())]
    Json { path: PathBuf, source: serde_path_to_error::Error<serde_json::Error> },
    #[error("{}", path.display())]
    Syntax { path: PathBuf, source: serde_json::Error },
    #[error(
        "{}: {field} is {value}, but this program does not know the field, and it could change \
         the images: remove the field if it does not",
        path.display()
    )]
    UnknownField { path: PathBuf, field: String, value: String },
    #[error("{}", path.display())]
    Config { path: PathBuf, source: ConfigError },
    #[error("{}", path.display())]
    Params { path: PathBuf, source: ParamsError },
    #[error(
        "{} is not a model directory: there is no config.json in it or in a folder 'unet' in it \
         (train a model with `cargo run -p ch05-train`, or give another --model)",
        .0.display()
    )]
    NotAModel(PathBuf),
    #[error("{} holds no weights: there is no diffusion_pytorch_model.safetensors", .0.display())]
    NoWeights(PathBuf),
    #[error(
        "{}: pickled weights are not read here; write them anew in Python with \
         save_pretrained(…, safe_serialization=True)",
        .0.display()
    )]
    Pickled(PathBuf),
    #[error(
        "{}: weight_map names '{shard}', but a shard must be a file in the same folder",
        path.display()
    )]
    Shard { path: PathBuf, shard: String },
    #[error("{}: the pipeline is a {found}, but only DDPMPipeline is read here", path.display())]
    WrongPipeline { path: PathBuf, found: String },
}

/// A trained network `N`, such as a [`UNet`], and the forward process that it was
/// trained to reverse.
#[derive(Clone, Debug)]
pub struct Model<N> {
    pub network: N,
    pub diffusion: Diffusion,
    /// What `diffusion` was made from, and how to sample.
    pub scheduler: SchedulerConfig,
    /// What you should know about how the model was read, one sentence for each point: which fields
    /// were ignored, for example.
    pub notes: Vec<String>,
}

/// Images that a model cannot draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error(
        "the network takes {takes} channels and gives {gives}: it does not denoise"
    )]
    DoesNotDenoise { takes: usize, gives: usize },
    #[error("the config has no sample_size: give one with --image-size")]
    NoSize,
    #[error(
        "images of side {side} do not fit: this network needs a multiple of {factor} \
        (--image-size)"
    )]
    WrongSize { side: usize, factor: usize },
}

impl<N> Model<N> {
    /// The model with the function `network` applied to its network.
    pub fn map<M>(self, network: impl FnOnce(N) -> M) -> Model<M> {
        let Self { network: own, diffusion, scheduler, notes } = self;
        Model { network: network(own), diffusion, scheduler, notes }
    }
}

impl<D: UNetDevice> Model<UNet<D>> {
    /// Channels, height and width of the images that the model draws, at the given side or,
    /// without one, at the model's own size.
    ///
    /// # Errors
    /// If input and output differ in channels, or the network cannot take that size.
    pub fn image_shape(&self, side: Option<usize>) -> Result<[usize; 3], ShapeError> {
        let config = self.network.config();
        let (takes, gives) = (config.in_channels, config.out_channels);
        if takes != gives {
            return Err(ShapeError::DoesNotDenoise { takes, gives });
        }
        let own = config.input_shape();
        let shape =
            side.map(|side| [takes, side, side]).or(own).ok_or(ShapeError::NoSize)?;
        let factor = config.size_factor();
        match shape[1..].iter().find(|side| !side.is_multiple_of(factor)) {
            Some(&side) => Err(ShapeError::WrongSize { side, factor }),
            None => Ok(shape),
        }
    }
}

/// The folder in a model directory that holds what chapter 8 adds. A model without this folder
/// draws what it likes.
pub const CONDITIONING: &str = "conditioning";

/// Whether a model can also be told what to draw (chapter 8).
pub fn is_conditional(files: &dyn Files, directory: &Path) -> bool {
    files.exists(&directory.join(CONDITIONING))
}

/// The files of a model: a pipeline has a folder for each part, but all parts may lie
/// in one folder, and a network may come alone.
struct Layout {
    /// The folder of the network's configuration and weights.
    unet: PathBuf,
    /// The scheduler's configuration, if there is one.
    scheduler: Option<PathBuf>,
}

impl Layout {
    /// # Errors
    /// If there is no network, or the pipeline is of another kind.
    fn find(files: &dyn Files, directory: &Path) -> Result<Self, ModelError> {
        let index = directory.join("model_index.json");
        let is_pipeline = files.exists(&index);
        if is_pipeline {
            check_pipeline(files, index)?;
        }
        let folders = [directory.join("unet"), directory.to_path_buf()];
        let has_config = |folder: &PathBuf| files.exists(&folder.join("config.json"));
        let unet = folders.into_iter().find(has_config);
        let unet = unet.ok_or_else(|| ModelError::NotAModel(directory.into()))?;
        let mut places = vec!["scheduler", ""];
        if unet == directory {
            places.push("../scheduler");
        }
        let path = |place| directory.join(place).join(SCHEDULER);
        let found = places.into_iter().map(path).find(|path| files.exists(path));
        // A pipeline must have a scheduler: if the file is missing, the error on reading names it.
        let scheduler = found.or(is_pipeline.then(|| path("scheduler")));
        Ok(Self { unet, scheduler })
    }

    /// The scheduler's configuration, or the default where there is none, and the
    /// forward process that it describes.
    fn scheduler(
        &self,
        files: &dyn Files,
        notes: &mut Vec<String>,
    ) -> Result<(SchedulerConfig, Diffusion), ModelError> {
        let Some(path) = &self.scheduler else {
            let config = SchedulerConfig::default();
            let folder = self.unet.display();
            notes.push(format!(
                "{folder}: there is no {SCHEDULER}; using the schedule of the paper"
            ));
            let diffusion = config.diffusion().expect("the default has a schedule");
            return Ok((config, diffusion));
        };
        let config: SchedulerConfig = read_config(files, path, notes)?;
        let bad = |source| ModelError::Config { path: path.clone(), source };
        let diffusion = config.diffusion().map_err(bad)?;
        Ok((config, diffusion))
    }

    /// The network. Before it is built, the weights are compared with the configuration.
    fn network<D: UNetDevice>(
        &self,
        files: &dyn Files,
        device: &D,
        notes: &mut Vec<String>,
    ) -> Result<UNet<D>, ModelError> {
        let path = self.unet.join("config.json");
        let config: UNetConfig = read_config(files, &path, notes)?;
        let bad = |source| ModelError::Config { path: path.clone(), source };
        let outline = config.outline().map_err(bad)?;
        let (file, tensors) = read_weights(files, &self.unet)?;
        let wrong = |source| ModelError::Params { path: file.clone(), source };
        outline.check(&tensors).map_err(wrong)?;
        let mut unet = UNet::new(device, &config, &mut Zeros).map_err(bad)?;
        params::from_host(&mut unet, &tensors).map_err(wrong)?;
        Ok(unet)
    }
}

const SCHEDULER: &str = "scheduler_config.json";

fn check_pipeline(files: &dyn Files, index: PathBuf) -> Result<(), ModelError> {
    let value: Value = read_json(files, &index)?;
    match value["_class_name"].as_str().unwrap_or("nameless pipeline") {
        "DDPMPipeline" => Ok(()),
        found => Err(ModelError::WrongPipeline { path: index, found: found.into() }),
    }
}

/// Reads a model directory: a pipeline with a folder for each part, a folder that holds all parts,
/// or the directory of a single `UNet2DModel`. A scheduler's configuration is
/// looked for in `scheduler/`, in the directory itself, and in a `scheduler/` next to
/// the directory of a single network; if none is found, the default schedule is used.
///
/// # Errors
/// If a file is missing or damaged, or describes something that this crate cannot
/// build.
pub fn load<D: UNetDevice>(
    device: &D,
    directory: &Path,
) -> Result<Model<UNet<D>>, ModelError> {
    load_from(&Disk, device, directory)
}

/// [`load`], but from any source of files, not only the disk.
///
/// # Errors
/// As [`load`].
pub fn load_from<D: UNetDevice>(
    files: &dyn Files,
    device: &D,
    directory: &Path,
) -> Result<Model<UNet<D>>, ModelError> {
    let mut notes = Vec::new();
    let layout = Layout::find(files, directory)?;
    let (scheduler, diffusion) = layout.scheduler(files, &mut notes)?;
    let network = layout.network(files, device, &mut notes)?;
    Ok(Model { network, diffusion, scheduler, notes })
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
    write_json(&directory.join("scheduler").join(SCHEDULER), scheduler)?;
    let index = serde_json::json!({
        "_class_name": "DDPMPipeline",
        "_diffusers_version": config._diffusers_version,
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    });
    write_json(&directory.join("model_index.json"), &index)
}
