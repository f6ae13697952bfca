//! Draws with every setting, measures, and reports.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ch01_tensors::{DataArgs, Dataset, Split};
use ch06_sampling::program::{check_memory, BATCH};
use ch07_ddim::flags::Spacing;
use ch08_conditioning::flags::guidance_scale;
use ch09_evaluation::classifier::{self, Classifier};
use ops::AutoDevice;
use rayon::prelude::*;

use crate::evaluator::{Evaluator, NEIGHBOURS};
use crate::report::{Drawn, Report, Row};
use crate::solvers::{named_solver, NamedSolver};
use crate::target::{self, draw, requests, Request, Setting, Target};

#[derive(clap::Args)]
pub struct Args {
    /// The model directory, conditional or not (default: the cats that come with this
    /// book)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// The classifier whose features are used to compare images (default: the one that comes with
    /// this book)
    #[arg(long, value_name = "DIR")]
    classifier: Option<PathBuf>,
    /// How many images to draw for each row of the table
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(4..=100_000))]
    count: u32,
    /// How to draw: ddpm, ddim, ddim:ETA, dpm-solver++
    #[arg(long, value_delimiter = ',', default_value = "ddim", value_parser = named_solver)]
    samplers: Vec<NamedSolver>,
    /// How many timesteps to visit (ddpm visits all)
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [50],
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    steps: Vec<u32>,
    #[command(flatten)]
    spacing: Spacing,
    /// Guidance scales (models that cannot be told what to draw have none)
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [1.5],
        value_parser = guidance_scale,
        allow_negative_numbers = true,
    )]
    guidance_scales: Vec<f64>,
    /// The first seed; a seed determines the noise, the prompts and the real images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to draw everything with; the numbers in the report are means and standard
    /// deviations over the seeds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: u32,
    /// Draw nothing: only make the table and the figures again, from an evaluation.json
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "model",
            "dataset",
            "data_dir",
            "classifier",
            "samplers",
            "steps",
            "guidance_scales",
        ],
    )]
    redraw: Option<PathBuf>,
    /// Where the table, the JSON and the figures go
    #[arg(long, value_name = "DIR", default_value = "runs/evaluation")]
    out: PathBuf,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

/// Draws many images and measures them.
///
/// # Errors
/// If a file cannot be read or written, or if model, data set and classifier do not fit together.
pub fn run(args: Args) -> anyhow::Result<()> {
    let _claim = files::claim(&args.out)?;
    if let Some(path) = &args.redraw {
        return Report::read(path)?.write(&args.out);
    }
    cli::set_threads(args.threads.map(|t| t as usize))?;
    let device = cli::device(0)?;
    let directory = cli::model_or_shipped(args.model.as_deref(), "cats-text");
    let target = target::open(&device, &directory)?;
    cli::notes(&target.notes);
    let (train, heldout) =
        (args.data.open(Split::Train)?, args.data.open(Split::HeldOut)?);
    cli::notes(train.notes());
    check_shape(&target, train.as_ref(), &directory)?;
    anyhow::ensure!(
        train.len() > NEIGHBOURS,
        "{} holds {} images to compare with, but {} are needed",
        train.name(),
        train.len(),
        NEIGHBOURS + 1
    );
    let unet = target.network.unet();
    check_memory(unet, train.shape(), args.count as usize, BATCH)?;
    let classifier = args.classifier(&device, train.as_ref())?;

    let evaluator =
        Evaluator::new(&device, &classifier, train.as_ref(), heldout.as_ref());
    let seeds = args.seeds();
    let requests = seeds
        .iter()
        .map(|&seed| requests(&target, heldout.as_ref(), args.count as usize, seed));
    let requests: Vec<Vec<Request>> = requests.collect::<anyhow::Result<_>>()?;
    let mut report = Report {
        model: directory.display().to_string(),
        dataset: train.name().to_string(),
        count: args.count as usize,
        seeds: seeds.len(),
        classifier_accuracy: classifier.config.accuracy,
        real: real_row(&evaluator, heldout.as_ref(), &requests),
        rows: Vec::new(),
    };
    let mut last = Vec::new();
    for setting in settings(&args, &target) {
        let (mut seconds, mut drawn) = (Vec::new(), Vec::new());
        for (&seed, requests) in seeds.iter().zip(&requests) {
            let start = Instant::now();
            drawn.push(draw(&device, &target, &args.spacing, setting, requests, seed)?);
            seconds.push(start.elapsed().as_secs_f64());
        }
        let measures = evaluator.measure(&requests, &drawn);
        let name = setting.name(target.network.is_conditional());
        report.rows.push(Row::of(name, &seconds, report.count, &measures));
        last = drawn;
    }
    evaluator.pairs(&args.out.join("nearest.png"), &last[0])?;
    report.write(&args.out)
}

impl Args {
    /// The seeds to draw everything with.
    fn seeds(&self) -> Vec<u64> {
        (0..self.seeds as u64).map(|i| self.seed.wrapping_add(i)).collect()
    }

    /// The classifier for images of a data set.
    fn classifier(
        &self,
        device: &AutoDevice,
        train: &dyn Dataset,
    ) -> anyhow::Result<Classifier<AutoDevice>> {
        let shipped = || cli::shipped(&format!("classifier-{}", train.name()));
        let directory = self.classifier.clone().unwrap_or_else(shipped);
        let classifier = classifier::load(device, &directory)?;
        let config = &classifier.config;
        anyhow::ensure!(
            config.dataset == train.name() && config.shape == train.shape(),
            "{} knows images of {}, not {}",
            directory.display(),
            config.dataset,
            train.name()
        );
        Ok(classifier)
    }
}

fn check_shape(
    target: &Target,
    train: &dyn Dataset,
    directory: &Path,
) -> anyhow::Result<()> {
    let found = target.network.unet().input_shape();
    anyhow::ensure!(
        found == Some(train.shape()),
        "{} draws images of {found:?} (channels, height, width), but {} has {:?}: use \
         --dataset to say which images it learnt from",
        directory.display(),
        train.name(),
        train.shape()
    );
    Ok(())
}

/// The row for held-out real images.
fn real_row(
    evaluator: &Evaluator,
    heldout: &dyn Dataset,
    requests: &[Vec<Request>],
) -> Row {
    let images = |requests: &Vec<Request>| -> Vec<Vec<f32>> {
        requests.par_iter().map(|request| heldout.image(request.like)).collect()
    };
    let real: Vec<_> = requests.iter().map(images).collect();
    let name =
        Drawn { sampler: "real images".into(), steps: None, guidance_scale: None };
    Row::of(name, &[], requests[0].len(), &evaluator.measure(requests, &real))
}

/// Every sampler with every number of steps and every guidance scale.
fn settings<'a>(args: &'a Args, target: &Target) -> Vec<Setting<'a>> {
    let all_steps = [target.diffusion.schedule.len() as u32];
    let scales = if target.network.is_conditional() {
        &args.guidance_scales[..]
    } else {
        &[1.0]
    };
    let mut settings = Vec::new();
    for sampler in &args.samplers {
        let steps = if sampler.solver.is_some() { &args.steps[..] } else { &all_steps };
        for &steps in steps {
            let one = |&guidance_scale| Setting { sampler, steps, guidance_scale };
            settings.extend(scales.iter().map(one));
        }
    }
    settings
}
