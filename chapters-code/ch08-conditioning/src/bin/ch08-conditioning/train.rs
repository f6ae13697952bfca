//! The command `train`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use ch01_tensors::cats::Attributes;
use ch01_tensors::{Dataset, Purpose};
use ch04_unet::model_dir;
use ch05_train::session::{self, Session};
use ch05_train::{
    heldout_loss, HeldoutLoss, StepReport, TrainConfig, TrainError, Trainer,
};
use ch06_sampling::walk;
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::captions::{self, phrase, Asked, SeenCats};
use ch08_conditioning::model::{self, ConditioningFile};
use ch08_conditioning::{
    condition_of, train_step, Condition, ConditionalUNet, ConditioningConfig, Guidance,
    TextConfig, Tokenizer,
};
use files::Disk;
use ops::{AutoDevice, Images};
use rand::Rng;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    training: session::Args,
    /// What the network is told about an image (default: text; with --resume: as
    /// before)
    #[arg(long, value_enum)]
    condition: Option<Kind>,
    /// How often the network is told nothing, at least 0 and below 1 (default: 0.1; with --resume:
    /// as before)
    #[arg(
        long,
        conflicts_with = "resume",
        value_parser = probability,
        allow_negative_numbers = true,
    )]
    dropout: Option<f64>,
    /// Sort the words of each prompt, so that their order is lost
    #[arg(long, conflicts_with = "resume")]
    bag_of_words: bool,
}

/// How often a network is told nothing, unless a flag says otherwise.
const DROPOUT: f64 = 0.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Its class
    Class,
    /// Its caption
    Text,
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..1.0).contains(&p) => Ok(p),
        _ => Err("a number of at least 0 and below 1 is needed".into()),
    }
}

impl Args {
    /// What the network is told: what the flag says or, with `--resume`, what it was told when the
    /// run began.
    fn settle(&mut self) -> anyhow::Result<Kind> {
        let kind = self.condition.unwrap_or(Kind::Text);
        kind.choose(&mut self.training);
        let out = self.training.out();
        if !self.training.resume || !model_dir::is_conditional(&Disk, &out) {
            return Ok(kind);
        }
        let begun = match model::load_file(&Disk, &out)?.conditioning {
            ConditioningConfig::Class { .. } => Kind::Class,
            ConditioningConfig::Text(_) => Kind::Text,
        };
        let same = self.condition.is_none_or(|kind| kind == begun);
        anyhow::ensure!(
            same,
            "--condition: {} began with the other one, and keeps it",
            out.display()
        );
        begun.choose(&mut self.training);
        Ok(begun)
    }
}

impl Kind {
    /// Where the model goes and how long it is trained on cats, if the flags do not say.
    fn choose(self, args: &mut session::Args) {
        match self {
            Self::Class => args.set_kind("class", 2000),
            Self::Text => args.set_kind("text", 7000),
        }
    }
}

pub fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    let kind = args.settle()?;
    session::run(
        &args.training,
        |device, dataset| {
            let file = ConditioningFile {
                conditioning: conditioning(kind, args.bag_of_words, dataset)?,
                dropout: args.dropout.unwrap_or(DROPOUT),
                dataset: dataset.name().to_string(),
                classes: match kind {
                    Kind::Class => dataset.classes(),
                    Kind::Text => Vec::new(),
                },
            };
            let config = args.training.config(dataset.shape())?;
            file.conditioning.check(&config.unet)?;
            let rng = &mut config.first_weights();
            let network =
                ConditionalUNet::new(device, &config.unet, &file.conditioning, rng)?;
            let trainer = Trainer::with_network(device, config, network)?;
            Ok(Conditional { device: device.clone(), trainer, file })
        },
        |device, out, dataset| {
            let file = model::load_file(&Disk, out)?;
            file.check_classes(&dataset.classes())
                .with_context(|| out.display().to_string())?;
            let outline =
                |config: &TrainConfig| file.conditioning.network_outline(&config.unet);
            let trainer =
                Trainer::load_state(device, out, outline, |config, zeros| {
                    ConditionalUNet::new(
                        device,
                        &config.unet,
                        &file.conditioning,
                        zeros,
                    )
                })?;
            Ok(Conditional { device: device.clone(), trainer, file })
        },
    )
}

/// What a network that learns from this data set can be told.
fn conditioning(
    kind: Kind,
    bag_of_words: bool,
    dataset: &dyn Dataset,
) -> anyhow::Result<ConditioningConfig> {
    let all = || 0..dataset.len();
    Ok(match kind {
        Kind::Class => {
            let num_classes = dataset.classes().len();
            ConditioningConfig::Class { num_classes }
        }
        Kind::Text => {
            let (vocabulary, max_words) = if dataset.attributes(0).is_some() {
                (Tokenizer::new(captions::vocabulary()), CAT_WORDS)
            } else {
                let longest = all()
                    .map(|i| ch08_conditioning::words(&dataset.caption(i)).len())
                    .max();
                (
                    Tokenizer::new(all().map(|i| dataset.caption(i))),
                    longest.unwrap_or(0),
                )
            };
            anyhow::ensure!(
                vocabulary.len() <= MOST_WORDS,
                "the captions of {} hold {} different words, but at most {MOST_WORDS} \
                can be learnt: simplify them, or train with --condition class",
                dataset.name(),
                vocabulary.len()
            );
            ConditioningConfig::Text(TextConfig {
                vocabulary,
                max_words,
                width: 64,
                layers: 2,
                heads: 2,
                groups: 8,
                bag_of_words,
            })
        }
    })
}

/// A cat needs 15 words to be described in full.
const CAT_WORDS: usize = 16;
/// A table of more words would be larger than the rest of the network.
const MOST_WORDS: usize = 4096;

struct Conditional {
    device: AutoDevice,
    trainer: Trainer<AutoDevice, ConditionalUNet<AutoDevice>>,
    file: ConditioningFile,
}

impl Session for Conditional {
    type Network = ConditionalUNet<AutoDevice>;
    const COMMAND: &'static str = "cargo run -p ch08-conditioning -- train";

    fn prepare(dataset: Box<dyn Dataset>) -> Box<dyn Dataset> {
        if dataset.attributes(0).is_some() {
            Box::new(SeenCats::new(dataset))
        } else {
            dataset
        }
    }

    fn draw_command(directory: &str) -> String {
        format!("cargo run -p ch08-conditioning -- sample --model {directory} --out samples.png")
    }

    fn trainer(&mut self) -> &mut Trainer<AutoDevice, Self::Network> {
        &mut self.trainer
    }

    fn train_step(&mut self, dataset: &dyn Dataset) -> Result<StepReport, TrainError> {
        train_step(
            &mut self.trainer,
            &self.file.conditioning,
            self.file.dropout,
            dataset,
        )
    }

    fn heldout_loss(&mut self, dataset: &dyn Dataset, count: usize) -> HeldoutLoss {
        let (trainer, seed) = (&self.trainer, self.trainer.config.seed);
        let network = trainer.averaged();
        let mut rng = Purpose::HeldOut.rng(seed, 1);
        let conditions: Vec<Condition> = (0..count.min(dataset.len()))
            .map(|index| {
                condition_of(&self.file.conditioning, dataset, index, &mut rng)
            })
            .collect();
        let network = |x_t, timesteps: &[usize], images| {
            network.forward(x_t, timesteps, &conditions[images])
        };
        let weighting = trainer.config.objective.weighting;
        let diffusion = &trainer.diffusion;
        heldout_loss(&self.device, diffusion, weighting, dataset, count, seed, network)
    }

    fn draw(&mut self, count: usize, seed: u64) -> Images<AutoDevice> {
        let model = self.trainer.model();
        let unet = model.network.unet.config();
        let [channels, height, width] =
            unet.input_shape().expect("a training run knows its images");
        let mut rng = Purpose::Preview.rng(seed, 0);
        let conditions = (0..count).map(|i| example(&self.file, i, &mut rng)).collect();
        let guidance = Guidance {
            conditions,
            negative: vec![Condition::Nothing; count],
            guidance_scale: DRAWN_WITH,
        };
        let mut rngs = ch06_sampling::sources(seed, 0..count as u64);
        let x = ch06_sampling::noise_per_image(
            &self.device,
            (count, channels, height, width),
            &mut rngs,
        );
        let total = model.diffusion.schedule.len();
        let timesteps =
            TimestepSpacing::Trailing.timesteps(total, DRAWN_IN.min(total), 0);
        let denoise = guidance.denoiser(&self.device, &model.network);
        walk(Ddim::for_model(&model, 0.0), x, &timesteps, rngs, denoise).finish()
    }

    fn save(&mut self, directory: &Path) -> anyhow::Result<()> {
        let config = &self.trainer.config;
        model::save(
            directory,
            &config.unet,
            &mut self.trainer.averaged(),
            &self.file,
            &config.scheduler,
        )?;
        // The state is saved last: once it is there, the run can be resumed, and resuming needs the
        // model's files.
        Ok(self.trainer.save_state(directory)?)
    }
}

/// Previews are drawn with this guidance scale, in this many steps.
const DRAWN_WITH: f64 = 2.0;
const DRAWN_IN: usize = 50;

/// What preview number `i` is to show.
fn example(file: &ConditioningFile, i: usize, rng: &mut impl Rng) -> Condition {
    match &file.conditioning {
        ConditioningConfig::Class { num_classes } => Condition::Label(i % num_classes),
        ConditioningConfig::Text(text) if file.dataset == "cats" => {
            let all: Vec<Attributes> = Attributes::all().collect();
            let prompt = phrase(&Asked::all(&all[rng.gen_range(0..all.len())]), rng);
            text.read(&prompt)
                .expect("the vocabulary holds all that is said about cats")
        }
        ConditioningConfig::Text(text) => {
            Condition::Words(vec![i % text.vocabulary.len()])
        }
    }
}
