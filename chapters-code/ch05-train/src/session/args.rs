//! The flags of a training program.

use std::path::{Path, PathBuf};

use ch01_tensors::{Color, DataArgs, DatasetName};
use ch02_schedule::{raised_betas, BetaSchedule, BETA_END, BETA_START};
use ch03_forward::PredictionType;
use ch04_unet::model_dir::{self, SchedulerConfig};
use ch04_unet::Preset;
use clap::ValueEnum;
use files::Disk;
use serde::{Deserialize, Serialize};

use crate::{
    LossWeighting, Objective, OptimizerConfig, TimestepSampling, TrainConfig, TRAINING,
};

/// What determines a training run.
#[derive(clap::Args, Clone)]
pub struct Args {
    #[command(flatten)]
    pub data: DataArgs,
    /// Where the model goes (default: runs/ and the name of the data set)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the training in --out, with the settings that it began with
    #[arg(
        long,
        conflicts_with_all = [
            "dataset", "image_size", "image_channels", "background", "preset",
            "batch_size", "learning_rate", "warmup_steps", "weight_decay",
            "max_gradient_norm", "seed", "schedule", "num_timesteps", "raise_betas",
            "prediction_type", "ema_decay", "timestep_sampling", "loss_weighting",
        ],
    )]
    pub resume: bool,
    /// Steps to train, including those before a --resume (default: depends on the data set)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Steps for the cats, unless --steps is given.
    #[arg(skip = 2000u64)]
    cat_steps: u64,
    /// The network (default: depends on the data set)
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Images per step (default: 64; 16 where images are larger than 32×32 and there is
    /// no GPU)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: Option<u32>,
    /// How far each step goes
    #[arg(long, default_value_t = 2e-3, value_parser = positive, allow_negative_numbers = true)]
    learning_rate: f64,
    /// Steps over which the learning rate rises to its full value
    #[arg(long, default_value_t = 100)]
    warmup_steps: u64,
    /// The last part of the steps, over which the learning rate falls to 0 (default:
    /// 0.2; with --resume: as before)
    #[arg(long, value_parser = part, allow_negative_numbers = true)]
    cooldown: Option<f64>,
    /// How strongly weights are pulled towards 0
    #[arg(long, default_value_t = 0.01, value_parser = not_negative, allow_negative_numbers = true)]
    weight_decay: f64,
    /// Longer gradients are scaled down to this length
    #[arg(long, default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    max_gradient_norm: f64,
    /// How slowly the averaged weights follow the current ones
    #[arg(long, default_value_t = 0.999, value_parser = fraction, allow_negative_numbers = true)]
    ema_decay: f64,
    /// How fast the noise grows
    #[arg(long, value_enum, default_value = "squaredcos_cap_v2")]
    schedule: BetaSchedule,
    /// How many steps of noise there are
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    num_timesteps: u32,
    /// Raise the betas, so that a schedule with fewer timesteps ends in noise, too
    #[arg(long)]
    raise_betas: bool,
    /// What the network predicts
    #[arg(long, value_enum, default_value = "v_prediction")]
    prediction_type: PredictionType,
    /// How timesteps are drawn
    #[arg(long, value_enum, default_value = "stratified")]
    timestep_sampling: TimestepSampling,
    /// How much the squared error at each timestep counts
    #[arg(long, value_enum, default_value = "min-snr")]
    loss_weighting: LossWeighting,
    /// Determines every random number used in training
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    /// How often to save, in steps (and at the end)
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub save_every: u64,
    /// How often to measure the held-out loss, in steps (and at the end)
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..))]
    pub heldout_every: u64,
    /// How often to draw images, in steps (and at the end)
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..))]
    pub sample_every: u64,
    /// How many images to draw at the end (default: 36; 16 where that is the default of
    /// --batch-size)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    samples: Option<u32>,
    /// Determines the noise from which images are drawn
    #[arg(long, default_value_t = 0)]
    pub sample_seed: u64,
}

fn number(text: &str, need: &str, good: impl Fn(f64) -> bool) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|&v: &f64| v.is_finite() && good(v))
        .ok_or_else(|| format!("{need} is needed"))
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, "a number above 0", |v| v > 0.0)
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, "a number not below 0", |v| v >= 0.0)
}

fn part(text: &str) -> Result<f64, String> {
    number(text, "a number from 0 to 1", |v| (0.0..=1.0).contains(&v))
}

fn fraction(text: &str) -> Result<f64, String> {
    number(text, "a number not below 0, but below 1", |v| (0.0..1.0).contains(&v))
}

/// Whether 64 images of this shape at once are too many for a computer without a GPU.
fn is_large([_, height, width]: [usize; 3]) -> bool {
    !ops::CUDA && height * width > 32 * 32
}

impl Args {
    /// For a program that trains another kind of model: the model goes to
    /// `runs/DATASET-kind`, and learns cats in `cat_steps` steps, unless the flags say
    /// otherwise.
    pub fn set_kind(&mut self, kind: &str, cat_steps: u64) {
        let name = format!("{}-{kind}", self.data.dataset.word());
        self.out.get_or_insert_with(|| Path::new("runs").join(name));
        self.cat_steps = cat_steps;
    }

    /// Where the model goes.
    pub fn out(&self) -> PathBuf {
        self.out
            .clone()
            .unwrap_or_else(|| Path::new("runs").join(self.data.dataset.word()))
    }

    /// The same flags for this data set. When a run is resumed, the data set, and with it the
    /// default number of steps, is known only after loading.
    pub(super) fn with_data(&self, data: DataArgs) -> Self {
        Self { out: Some(self.out()), data, ..self.clone() }
    }

    /// How many steps to train in all.
    pub fn steps(&self) -> u64 {
        self.steps.unwrap_or(match self.data.dataset {
            DatasetName::Cats => self.cat_steps,
            DatasetName::Mnist | DatasetName::FashionMnist => 6000,
            DatasetName::Cifar10 | DatasetName::Folder if ops::CUDA => 50_000,
            DatasetName::Cifar10 | DatasetName::Folder => 10_000,
        })
    }

    /// The last part of the steps, over which the learning rate falls; `before` is the one that the
    /// training run has had so far.
    pub(super) fn cooldown(&self, before: f64) -> f64 {
        self.cooldown.unwrap_or(before)
    }

    /// What is trained, for images of this shape.
    ///
    /// # Errors
    /// If flags contradict each other.
    pub fn config(&self, shape: [usize; 3]) -> anyhow::Result<TrainConfig> {
        let side = shape[1].min(shape[2]);
        let preset = self.preset.unwrap_or(match self.data.dataset {
            DatasetName::Cats => Preset::Cats,
            DatasetName::Mnist | DatasetName::FashionMnist => Preset::Mnist,
            // On two cores, a step of the paper's network takes a quarter of a minute.
            DatasetName::Cifar10 | DatasetName::Folder if ops::CUDA && side >= 32 => {
                Preset::DdpmCifar10
            }
            DatasetName::Cifar10 | DatasetName::Folder => Preset::Small,
        });
        anyhow::ensure!(
            !self.raise_betas || self.schedule != BetaSchedule::SquaredcosCapV2,
            "--raise-betas needs another --schedule: the betas of squaredcos_cap_v2 \
            follow the number of timesteps anyway"
        );
        let (beta_start, beta_end) = match self.raise_betas {
            true => raised_betas(self.num_timesteps as usize),
            false => (BETA_START, BETA_END),
        };
        Ok(TrainConfig {
            unet: preset.config(shape),
            objective: Objective {
                timesteps: self.timestep_sampling,
                weighting: self.loss_weighting,
            },
            scheduler: SchedulerConfig {
                beta_schedule: self.schedule,
                num_train_timesteps: self.num_timesteps as usize,
                beta_start,
                beta_end,
                prediction_type: self.prediction_type,
                ..Default::default()
            },
            optimizer: OptimizerConfig {
                learning_rate: self.learning_rate,
                warmup_steps: self.warmup_steps,
                cooldown: 0.2,
                weight_decay: self.weight_decay,
                max_gradient_norm: self.max_gradient_norm,
                ..Default::default()
            },
            batch_size: self.batch_size.unwrap_or(if is_large(shape) { 16 } else { 64 })
                as usize,
            ema_decay: self.ema_decay,
            seed: self.seed,
        })
    }

    /// How many images to draw at the end, if they have this shape.
    pub(super) fn samples(&self, shape: [usize; 3]) -> u32 {
        self.samples.unwrap_or(if is_large(shape) { 16 } else { 36 })
    }

    /// Whether it is time for something that happens every `interval` steps and at the end.
    pub(super) fn every(&self, interval: u64, step: u64, total: u64) -> bool {
        step == total || step.is_multiple_of(interval)
    }

    /// The command with which `program` continues this training.
    pub(super) fn resume_command(&self, program: &str) -> String {
        let steps = self.steps.map_or(String::new(), |s| format!(" --steps {s}"));
        format!("{program} --resume --out {}{steps}", cli::quoted(&self.out()))
    }
}

/// Which images a training run uses, as stored next to it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredData {
    dataset: String,
    data_dir: Option<PathBuf>,
    image_size: Option<u32>,
    image_channels: Option<u32>,
    /// The colour as `--background` spells it.
    background: Option<String>,
}

const DATA: &str = "data.json";

/// Stores which images a training run uses.
pub(super) fn write_data(out: &Path, data: &DataArgs) -> anyhow::Result<()> {
    // As an absolute path, because the next run may start elsewhere.
    let data_dir = data.data_dir.as_ref().map(std::fs::canonicalize).transpose()?;
    let stored = StoredData {
        dataset: data.dataset.word().to_string(),
        data_dir,
        image_size: data.image_size,
        image_channels: data.image_channels,
        background: data.background.map(|color| color.to_string()),
    };
    Ok(model_dir::write_json(&out.join(TRAINING).join(DATA), &stored)?)
}

/// Whether [`write_data`] has stored anything.
pub(super) fn has_data(out: &Path) -> bool {
    out.join(TRAINING).join(DATA).exists()
}

/// The images that the training run in a directory uses.
///
/// # Errors
/// If `training/data.json` is missing or damaged, or names an unknown data set or
/// colour.
pub fn read_data(out: &Path) -> anyhow::Result<DataArgs> {
    let path = out.join(TRAINING).join(DATA);
    let stored: StoredData = model_dir::read_json(&Disk, &path)?;
    let dataset = DatasetName::from_str(&stored.dataset, false);
    let dataset = dataset.map_err(|_| {
        anyhow::anyhow!(
            "{}: dataset is \"{}\", which this program does not know",
            path.display(),
            stored.dataset
        )
    })?;
    let background = stored.background.map(|text| text.parse::<Color>()).transpose();
    let background = background
        .map_err(|need| anyhow::anyhow!("{}: background: {need}", path.display()))?;
    // Earlier versions stored a size for every data set, and a folder for the cats if
    // one was given.
    let (is_folder, is_cats) =
        (dataset == DatasetName::Folder, dataset == DatasetName::Cats);
    Ok(DataArgs {
        dataset,
        data_dir: stored.data_dir.filter(|_| !is_cats),
        image_size: stored.image_size.filter(|_| is_folder),
        image_channels: stored.image_channels,
        background,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn large_images_go_through_in_smaller_batches() {
        let args = Program::parse_from(["train"]).args;
        let told =
            Program::parse_from(["train", "--batch-size", "64", "--samples", "36"]);
        let counts = |args: &Args, shape| {
            (args.config(shape).unwrap().batch_size, args.samples(shape))
        };
        for (shape, few) in
            [([3, 16, 16], false), ([3, 32, 32], false), ([3, 64, 64], !ops::CUDA)]
        {
            assert_eq!(counts(&args, shape), if few { (16, 16) } else { (64, 36) });
            assert_eq!(counts(&told.args, shape), (64, 36));
        }
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().canonicalize().unwrap();
        std::fs::create_dir(directory.join(TRAINING)).unwrap();
        let mut data = DataArgs {
            data_dir: Some(directory.clone()),
            ..DataArgs::new(DatasetName::Folder)
        };
        for more in [None, Some((48, 1, Color([0x20, 0x40, 0x60])))] {
            data.image_size = more.map(|more| more.0);
            data.image_channels = more.map(|more| more.1);
            data.background = more.map(|more| more.2);
            write_data(&directory, &data).unwrap();
            assert_eq!(read_data(&directory).unwrap(), data);
        }
    }

    #[test]
    fn what_former_versions_stored_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(TRAINING)).unwrap();
        let read = |dataset: &str| {
            let stored = format!(
                r#"{{"dataset": "{dataset}", "data_dir": "somewhere", "image_size": 48}}"#
            );
            std::fs::write(folder.path().join(TRAINING).join(DATA), stored).unwrap();
            read_data(folder.path()).unwrap()
        };
        assert_eq!(read("folder").image_size, Some(48));
        // The digits take no size, and the cats take neither size nor folder: flags for these would
        // be errors.
        assert_eq!(read("mnist").image_size, None);
        assert_eq!(read("cats"), DataArgs::new(DatasetName::Cats));
    }
}
