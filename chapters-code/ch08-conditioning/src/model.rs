//! A conditional model on disk: a model directory as chapter 4 writes it, which works without
//! conditions, and inside it
//!
//! ```text
//! runs/text/conditioning/config.json
//! runs/text/conditioning/weights.safetensors
//! ```
//!
//! with everything that is needed for conditions.

use std::path::Path;

use ch04_unet::model_dir::{self, Model, ModelError, SchedulerConfig, CONDITIONING};
use ch04_unet::{ConfigError, UNetConfig};
use files::{Disk, Files};
use ops::layers::Zeros;
use ops::params;
use ops::UNetDevice;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::network::{ConditionalUNet, Conditioner, ConditioningConfig};
use crate::words::PromptError;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "weights.safetensors";

/// How a conditional model is built and trained, apart from its U-Net.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditioningFile {
    /// What it can be told.
    pub conditioning: ConditioningConfig,
    /// How often it was told nothing in training, from 0 to 1.
    pub dropout: f64,
    /// The data set that it learnt from.
    pub dataset: String,
    /// The names of the classes, in the order of their numbers; none if the model reads prompts, or
    /// if its classes have numbers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

impl ConditioningFile {
    /// A prompt as the network reads it.
    ///
    /// # Errors
    /// If it has too many words or one that the model does not know, or if the model reads no
    /// prompts.
    pub fn read(&self, prompt: &str) -> Result<Condition, PromptError> {
        match &self.conditioning {
            ConditioningConfig::Text(text) => text.read(prompt),
            ConditioningConfig::Class { num_classes } => {
                Err(PromptError::Unread { num_classes: *num_classes })
            }
        }
    }

    /// The class whose name or number is `label`; a name takes precedence.
    ///
    /// # Errors
    /// If the model knows no such class, or no classes at all.
    pub fn class(&self, label: &str) -> Result<Condition, LabelError> {
        let ConditioningConfig::Class { num_classes } = self.conditioning else {
            return Err(LabelError::ReadsPrompts);
        };
        let named = self.classes.iter().position(|class| class == label);
        let numbered = || label.parse().ok().filter(|&number| number < num_classes);
        let class = named.or_else(numbered).map(Condition::Label);
        class.ok_or_else(|| LabelError::Unknown {
            label: label.into(),
            known: self.known(),
        })
    }

    /// The classes in words.
    fn known(&self) -> String {
        match (&self.conditioning, &self.classes[..]) {
            (ConditioningConfig::Class { num_classes }, []) => {
                format!("0 to {}", num_classes - 1)
            }
            (_, names) => {
                let named =
                    names.iter().enumerate().map(|(i, name)| format!("{i} '{name}'"));
                let first: Vec<String> = named.take(SHOWN).collect();
                let rest = if names.len() > SHOWN { ", …" } else { "" };
                format!("{}{rest}", first.join(", "))
            }
        }
    }

    /// Checks that another data set has the classes that the model learnt.
    ///
    /// # Errors
    /// The error names the first class that differs.
    pub fn check_classes(&self, found: &[String]) -> Result<(), LabelError> {
        let ConditioningConfig::Class { num_classes } = self.conditioning else {
            return Ok(());
        };
        let count = found.len();
        let differs = |i: &usize| {
            self.classes.get(*i).is_some_and(|class| found.get(*i) != Some(class))
        };
        let changed = (0..num_classes).find(differs);
        if let Some(number) = changed {
            let (before, now) =
                (self.classes[number].clone(), found.get(number).cloned());
            return Err(LabelError::Changed {
                number,
                before,
                now: now.unwrap_or("missing".into()),
            });
        }
        if count != num_classes {
            return Err(LabelError::Count { before: num_classes, now: count });
        }
        Ok(())
    }
}

/// How many classes an error message lists at most.
const SHOWN: usize = 20;

/// A class that a model does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("the model knows no class '{label}'. It knows: {known}")]
    Unknown { label: String, known: String },
    #[error("the model reads prompts and knows no classes: use --prompt")]
    ReadsPrompts,
    #[error(
        "the model learnt class {number} as '{before}', but in this data set it is \
        '{now}': continue with the classes that it began with, or train another model"
    )]
    Changed { number: usize, before: String, now: String },
    #[error(
        "the model learnt {before} classes, but this data set has {now}: continue with \
        the classes that it began with, or train another model"
    )]
    Count { before: usize, now: usize },
}

/// A model whose network can be told what to draw.
pub type ConditionalModel<D> = Model<ConditionalUNet<D>>;

/// A conditional model that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConditionalError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(
        "{0} cannot be told what to draw: it has no folder '{CONDITIONING}' (train a \
        conditional model with `cargo run -p ch08-conditioning -- train`, or draw from \
        this one with ch06-sampling)"
    )]
    Unconditional(String),
}

fn is_part(number: f32) -> bool {
    (0.0..=1.0).contains(&number)
}

/// Reads how a conditional model is built.
///
/// # Errors
/// If the file is missing or damaged, or `dropout` is not a probability.
pub fn load_file(
    files: &dyn Files,
    directory: &Path,
) -> Result<ConditioningFile, ModelError> {
    let path = directory.join(CONDITIONING).join(CONFIG);
    let file: ConditioningFile = model_dir::read_json(files, &path)?;
    let need = "it must be a number from 0 to 1";
    let checked = ConfigError::check_number("dropout", file.dropout, need, is_part);
    checked.map_err(|source| ModelError::Config { path, source })?;
    Ok(file)
}

/// Reads a conditional model and the file that says what it can be told.
///
/// # Errors
/// If a file is missing or damaged, or describes something that this crate cannot
/// build, or if the model is not conditional.
pub fn load<D: UNetDevice>(
    device: &D,
    directory: &Path,
) -> Result<(ConditionalModel<D>, ConditioningFile), ConditionalError> {
    load_from(&Disk, device, directory)
}

/// Like [`load`], but from files that need not be on the disk.
///
/// # Errors
/// As [`load`].
pub fn load_from<D: UNetDevice>(
    files: &dyn Files,
    device: &D,
    directory: &Path,
) -> Result<(ConditionalModel<D>, ConditioningFile), ConditionalError> {
    let model = model_dir::load_from(files, device, directory)?;
    if !model_dir::is_conditional(files, directory) {
        return Err(ConditionalError::Unconditional(directory.display().to_string()));
    }
    let file = load_file(files, directory)?;
    let folder = directory.join(CONDITIONING);
    let conditioner = read_conditioner(
        files,
        device,
        &folder,
        model.network.config(),
        &file.conditioning,
    )?;
    Ok((model.map(|unet| ConditionalUNet { unet, conditioner }), file))
}

/// Reads the part of a model that is needed for conditions. The weights are compared with the
/// configuration before anything is built.
fn read_conditioner<D: UNetDevice>(
    files: &dyn Files,
    device: &D,
    folder: &Path,
    unet: &UNetConfig,
    conditioning: &ConditioningConfig,
) -> Result<Conditioner<D>, ModelError> {
    let bad = |source| ModelError::Config { path: folder.join(CONFIG), source };
    let outline = conditioning.outline(unet).map_err(bad)?;
    let path = folder.join(WEIGHTS);
    let tensors = model_dir::read_tensors(files, &path)?;
    let wrong = |source| ModelError::Params { path: path.clone(), source };
    outline.check(&tensors).map_err(wrong)?;
    let mut conditioner =
        Conditioner::new(device, unet, conditioning, &mut Zeros).map_err(bad)?;
    params::from_host(&mut conditioner, &tensors).map_err(wrong)?;
    Ok(conditioner)
}

/// Writes a conditional model. Each file is replaced in one step.
///
/// # Errors
/// If a file cannot be written.
pub fn save<D: UNetDevice>(
    directory: &Path,
    unet: &UNetConfig,
    network: &mut ConditionalUNet<D>,
    file: &ConditioningFile,
    scheduler: &SchedulerConfig,
) -> Result<(), ModelError> {
    let folder = directory.join(CONDITIONING);
    let bytes = params::to_safetensors(
        &params::to_host(&mut network.conditioner),
        &[("format", "pt".into())],
    );
    files::write(folder.join(WEIGHTS), &bytes)?;
    model_dir::write_json(&folder.join(CONFIG), file)?;
    model_dir::save(directory, unet, &params::to_host(&mut network.unet), scheduler)
}
