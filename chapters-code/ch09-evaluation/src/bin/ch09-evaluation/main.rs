//! Measures how good a model's images are, and trains the classifiers that it needs for
//! that.

mod classifier;
mod evaluator;
mod report;
mod target;

use std::path::PathBuf;
use std::time::Instant;

use ch01_tensors::{DataArgs, Split};
use ch06_sampling::program::{check_memory, BATCH};
use ch07_ddim::flags::Spacing;
use ch08_conditioning::flags::guidance_scale;
use ch09_evaluation::classifier as trained;
use clap::Parser;
use rayon::prelude::*;

use self::evaluator::Judge;
use self::report::{Drawn, Report, Row};
use self::target::{draw, named_solver, open, told};
use self::target::{NamedSolver, Setting, Subject, Told};

/// Measure how good a model's images are
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    evaluate: Args,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Train a classifier, in whose features images are compared
    Classifier(classifier::Args),
}

fn main() -> std::process::ExitCode {
    cli::run(|program: Program| match program.command {
        Some(Command::Classifier(args)) => classifier::run(args),
        None => evaluate(program.evaluate),
    })
}

#[derive(clap::Args)]
struct Args {
    /// The model directory, conditional or not (default: the cats that come with this
    /// book)
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// The classifier in whose features images are compared (default: the one that
    /// comes with this book)
    #[arg(long, value_name = "DIR")]
    classifier: Option<PathBuf>,
    /// How many images to draw for each row of the table
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    count: u32,
    /// How to draw: ddpm, ddim, ddim:ETA, dpm-solver++
    #[arg(long, value_delimiter = ',', default_value = "ddim", value_parser = named_solver)]
    samplers: Vec<NamedSolver>,
    /// How many timesteps to visit (ddpm visits all)
    #[arg(long, value_delimiter = ',', default_values_t = [50], value_parser = clap::value_parser!(u32).range(1..))]
    steps: Vec<u32>,
    #[command(flatten)]
    spacing: Spacing,
    /// Guidance scales (models that can be told nothing have none)
    #[arg(long, value_delimiter = ',', default_values_t = [1.5], value_parser = guidance_scale, allow_negative_numbers = true)]
    guidance_scales: Vec<f64>,
    /// The first seed; a seed decides the noise, the prompts and the real images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to draw everything with; figures are their mean and standard
    /// deviation
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: u32,
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

/// Draws many images and judges them.
fn evaluate(args: Args) -> anyhow::Result<()> {
    let _claim = files::claim(&args.out)?;
    if let Some(path) = &args.redraw {
        return Report::read(path)?.write(&args.out);
    }
    cli::set_threads(args.threads.map(|t| t as usize))?;
    let device = cli::device(0)?;
    let directory = cli::model_or_shipped(args.model.as_deref(), "cats-text");
    let subject = open(&device, &directory)?;
    cli::notes(&subject.notes);
    let unet = subject.network.unet();
    let (train, heldout) =
        (args.data.open(Split::Train)?, args.data.open(Split::HeldOut)?);
    cli::notes(train.notes());
    anyhow::ensure!(
        unet.input_shape() == Some(train.shape()),
        "{} draws images of {:?} (channels, height, width), but {} has {:?}: say which images it learnt from with --dataset",
        directory.display(),
        unet.input_shape(),
        train.name(),
        train.shape()
    );
    check_memory(unet, train.shape(), args.count as usize, BATCH)?;
    let own = || cli::shipped(&format!("classifier-{}", train.name()));
    let classifier_dir = args.classifier.clone().unwrap_or_else(own);
    let classifier = trained::load(&device, &classifier_dir)?;
    anyhow::ensure!(
        classifier.config.dataset == train.name()
            && classifier.config.shape == train.shape(),
        "{} knows images of {}, not {}",
        classifier_dir.display(),
        classifier.config.dataset,
        train.name()
    );

    let count = args.count as usize;
    let judge = Judge::new(&device, &classifier, train.as_ref(), heldout.as_ref());
    let seeds: Vec<u64> =
        (0..args.seeds as u64).map(|i| args.seed.wrapping_add(i)).collect();
    let asked = seeds.iter().map(|&seed| told(&subject, heldout.as_ref(), count, seed));
    let asked: Vec<Vec<Told>> = asked.collect::<anyhow::Result<_>>()?;
    let real = |told: &Vec<Told>| -> Vec<Vec<f32>> {
        told.par_iter().map(|told| heldout.image(told.like)).collect()
    };
    let real = judge.measure(&asked, &asked.iter().map(real).collect::<Vec<_>>());
    let name =
        Drawn { sampler: "real images".into(), steps: None, guidance_scale: None };
    let mut report = Report {
        model: directory.display().to_string(),
        dataset: train.name().to_string(),
        count,
        seeds: seeds.len(),
        classifier_accuracy: classifier.config.accuracy,
        real: Row::of(name, &[], count, &real),
        rows: Vec::new(),
    };
    let mut last = Vec::new();
    for setting in settings(&args, &subject) {
        let (mut seconds, mut drawn) = (Vec::new(), Vec::new());
        for (&seed, told) in seeds.iter().zip(&asked) {
            let start = Instant::now();
            drawn.push(draw(&device, &subject, &args.spacing, setting, told, seed)?);
            seconds.push(start.elapsed().as_secs_f64());
        }
        let measures = judge.measure(&asked, &drawn);
        last = drawn;
        let conditional = subject.network.is_conditional();
        let name = Drawn {
            sampler: setting.sampler.name.clone(),
            steps: Some(setting.steps as usize),
            guidance_scale: conditional.then_some(setting.guidance_scale),
        };
        report.rows.push(Row::of(name, &seconds, count, &measures));
    }
    judge.pairs(&args.out.join("nearest.png"), &last[0])?;
    report.write(&args.out)
}

/// Every sampler with every number of steps and every guidance scale.
fn settings<'a>(args: &'a Args, subject: &Subject) -> Vec<Setting<'a>> {
    let all_steps = [subject.diffusion.schedule.len() as u32];
    let scales = if subject.network.is_conditional() {
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
