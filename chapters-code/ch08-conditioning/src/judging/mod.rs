//! The commands `classifier` and `evaluate`.

mod classifier;
mod judge;
mod report;
mod subject;

use std::path::PathBuf;
use std::time::Instant;

use ch01_tensors::{DataArgs, Split};
use ch04_unet::model_dir;
use ch07_ddim::flags::Spacing;
use ch08_conditioning::evaluation::classifier as trained;
use ch08_conditioning::model;
use rayon::prelude::*;

use self::judge::Judge;
use self::report::Report;
use self::subject::{draw, told, way, NamedWay, Subject};
use crate::drawing::guidance_scale;

pub use self::classifier::{train_classifier, ClassifierArgs};

#[derive(clap::Args)]
pub struct EvaluateArgs {
    /// The model directory, conditional or not (default: the cats that come with this book)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// The classifier in whose features images are compared (default: the one that comes with this book)
    #[arg(long, value_name = "DIR")]
    classifier: Option<PathBuf>,
    /// How many images to draw for each row of the table
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    count: u32,
    /// How to draw: ddpm, ddim, ddim:ETA, dpm-solver++
    #[arg(long, value_delimiter = ',', default_value = "ddim", value_parser = way)]
    samplers: Vec<NamedWay>,
    /// How many timesteps to visit (ddpm visits all)
    #[arg(long, value_delimiter = ',', default_values_t = [50], value_parser = clap::value_parser!(u32).range(1..))]
    steps: Vec<u32>,
    #[command(flatten)]
    spacing: Spacing,
    /// Guidance scales (models that can be told nothing have none)
    #[arg(long, value_delimiter = ',', default_values_t = [1.5], value_parser = guidance_scale, allow_negative_numbers = true)]
    guidance_scales: Vec<f64>,
    /// Decides the noise and the prompts
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw nothing: only make table and figures again, from an evaluation.json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "dataset", "data_dir", "classifier", "samplers", "steps", "guidance_scales"])]
    redraw: Option<PathBuf>,
    /// Where table, JSON and figures go
    #[arg(long, value_name = "DIR", default_value = "runs/evaluation")]
    out: PathBuf,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

/// Training images that drawn ones are compared with.
const COMPARED: usize = 10_000;
/// Images that go through the network together.
const BATCH: usize = 64;

/// Draws many images and judges them.
pub fn evaluate(args: EvaluateArgs) -> anyhow::Result<()> {
    if let Some(path) = &args.redraw {
        return model_dir::read_json::<Report>(path)?.write(&args.out);
    }
    cli::set_threads(args.threads.map(|t| t as usize))?;
    let device = cli::device(0)?;
    let directory = cli::model_or_shipped(args.model.as_deref(), "cats-text");
    let subject = if model_dir::is_conditional(&directory) {
        Subject::Conditional(Box::new(model::load(&device, &directory)?))
    } else {
        Subject::Plain(Box::new(model_dir::load(&device, &directory)?))
    };
    let (train, heldout) = (args.data.open(Split::Train)?, args.data.open(Split::HeldOut)?);
    anyhow::ensure!(
        subject.input_shape() == Some(train.shape()),
        "{} draws images of {:?} (channels, height, width), but {} has {:?}: say which images it learnt from with --dataset",
        directory.display(),
        subject.input_shape(),
        train.name(),
        train.shape()
    );
    let own = || cli::shipped(&format!("classifier-{}", train.name()));
    let classifier_dir = args.classifier.clone().unwrap_or_else(own);
    let classifier = trained::load(&device, &classifier_dir)?;
    anyhow::ensure!(
        classifier.config.dataset == train.name() && classifier.config.shape == train.shape(),
        "{} knows images of {}, not {}",
        classifier_dir.display(),
        classifier.config.dataset,
        train.name()
    );

    let count = args.count as usize;
    let compared: Vec<Vec<f32>> = (0..COMPARED.min(train.len())).into_par_iter().map(|i| train.image(i)).collect();
    let judge = Judge {
        device: &device,
        classifier: &classifier,
        features: trained::features_of(&device, &classifier, &compared),
        compared,
        told: told(&subject, heldout.as_ref(), count, args.seed)?,
        heldout: heldout.as_ref(),
    };
    let real: Vec<Vec<f32>> = judge.told.par_iter().map(|told| heldout.image(told.like)).collect();
    let real = judge.row("real images", None, None, None, &real);
    let mut rows = Vec::new();
    let mut last = Vec::new();
    let scales: &[f64] = match &subject {
        Subject::Plain(_) => &[1.0],
        Subject::Conditional(_) => &args.guidance_scales,
    };
    for named in &args.samplers {
        let all = [subject.schedule().len() as u32];
        for &steps in if named.way.is_some() { &args.steps[..] } else { &all } {
            for &scale in scales {
                let start = Instant::now();
                let drawn = draw(&device, &subject, &args, named, steps, scale, &judge.told)?;
                let speed = count as f64 / start.elapsed().as_secs_f64();
                let scale = matches!(subject, Subject::Conditional(_)).then_some(scale);
                rows.push(judge.row(&named.name, Some(steps as usize), scale, Some(speed), &drawn));
                last = drawn;
            }
        }
    }
    let report = Report {
        model: directory.display().to_string(),
        dataset: train.name().to_string(),
        count,
        classifier_accuracy: classifier.config.accuracy,
        real,
        rows,
    };
    judge.pairs(&args.out.join("nearest.png"), &last)?;
    report.write(&args.out)
}
