//! What helps, and what does not: trains on cats, always for the same number of minutes, changing
//! one thing at a time, and asks the judge. Results go to recipes.csv; runs that are already there
//! are not repeated.

use std::collections::BTreeMap;
use std::io::Write;

use ch01_tensors::{cats, Cats, Dataset, Split};
use ch02_schedule::BetaSchedule;
use ch03_forward::PredictionType;
use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::{BlockType, Preset};
use ch05_train::{
    LossWeighting, OptimizerConfig, TimestepSampling, TrainConfig, Trainer,
};
use ch06_sampling::{denoiser, noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch09_evaluation::{chance_larger, classifier, quantile, share_above, Spread};
use clap::Parser;
use ops::AutoDevice;
use rayon::prelude::*;

#[derive(Parser)]
struct Args {
    /// Steps of the first recipe; the others get as many as fit into the same time
    #[arg(long, default_value_t = 2000)]
    steps: u64,
    /// Training runs of each recipe
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Run only the recipes whose names contain this
    #[arg(long, default_value = "")]
    only: String,
}

// ANCHOR: recipes
/// A change to the training, with its name and the factor by which it multiplies the
/// time of a step.
type Recipe = (&'static str, f64, fn(&mut TrainConfig));

fn v_prediction(config: &mut TrainConfig) {
    config.scheduler.prediction_type = PredictionType::VPrediction;
}

fn cosine(config: &mut TrainConfig) {
    config.scheduler.beta_schedule = BetaSchedule::SquaredcosCapV2;
}

/// The recipe of chapter 5 as it is, with each of two changes, and with both.
const FIRST: [Recipe; 4] = [
    ("eps, linear schedule", 1.0, |_| ()),
    ("v-prediction", 1.0, v_prediction),
    ("cosine schedule", 1.0, cosine),
    ("both", 1.0, |_| ()),
];

/// Changes made on top of both.
const MORE: [Recipe; 16] = [
    ("stratified timesteps", 1.0, |c| {
        c.objective.timesteps = TimestepSampling::Stratified;
    }),
    ("min-SNR weights", 1.0, |c| c.objective.weighting = LossWeighting::MinSnr),
    ("stratified and min-SNR", 1.0, |c| {
        c.objective.timesteps = TimestepSampling::Stratified;
        c.objective.weighting = LossWeighting::MinSnr;
    }),
    ("attention at 16×16", 1.35, |c| {
        c.unet.down_block_types[0] = BlockType::AttnDownBlock2D;
        c.unet.up_block_types[2] = BlockType::AttnUpBlock2D;
    }),
    ("deeper", 1.6, |c| c.unet.layers_per_block = 2),
    ("wider above", 1.5, |c| c.unet.block_out_channels = vec![48, 64, 64]),
    ("wider", 1.9, |c| c.unet.block_out_channels = vec![48, 96, 96]),
    ("learning rate 4e-3", 1.0, |c| c.optimizer.learning_rate = 4e-3),
    ("learning rate 1e-3", 1.0, |c| c.optimizer.learning_rate = 1e-3),
    ("cooldown 0.6", 1.0, |c| c.optimizer.cooldown = 0.6),
    ("batch 32", 0.5, |c| c.batch_size = 32),
    ("beta2 0.99", 1.0, |c| c.optimizer.beta2 = 0.99),
    ("EMA 0.99", 1.0, |c| c.ema_decay = 0.99),
    ("EMA 0.9995", 1.0, |c| c.ema_decay = 0.9995),
    ("twice as long", 0.5, |_| ()),
    ("four times as long", 0.25, |_| ()),
];
// ANCHOR_END: recipes

/// The training before any change, with this many steps.
fn config(seed: u64, steps: u64) -> TrainConfig {
    TrainConfig {
        unet: Preset::Cats.config([3, 16, 16]),
        scheduler: SchedulerConfig::default(),
        objective: Default::default(),
        optimizer: OptimizerConfig {
            cooldown: 0.2,
            total_steps: steps,
            ..Default::default()
        },
        batch_size: 64,
        ema_decay: 0.999,
        seed,
    }
}

const DRAWN: u64 = 500;
const BATCH: u64 = 100;
const MEASURES: [&str; 5] = ["residual", "beyond", "AUC", "off by", "images/s"];

/// Judges crowds of cats by what it found in real ones.
struct Judge {
    residuals: Vec<f64>,
    shares: Vec<Vec<f64>>,
}

/// For every question about these cats, the share of each answer.
fn shares(cats: &[cats::Attributes]) -> Vec<Vec<f64>> {
    let answers: Vec<Vec<usize>> = cats.iter().map(classifier::answers_of).collect();
    let questions = classifier::questions(&Cats::new(Split::Train));
    let share = |at: usize, answer: usize| {
        answers.iter().filter(|a| a[at] == answer).count() as f64 / answers.len() as f64
    };
    let of = |(at, (_, names)): (usize, &(_, Vec<String>))| {
        (0..names.len()).map(|answer| share(at, answer)).collect()
    };
    questions.iter().enumerate().map(of).collect()
}

fn read(images: &[Vec<f32>]) -> (Vec<f64>, Vec<cats::Attributes>) {
    let all: Vec<cats::Reading> =
        images.par_iter().map(|image| cats::read(image)).collect();
    all.iter().map(|r| (r.residual as f64, r.attributes)).unzip()
}

impl Judge {
    fn new(heldout: &dyn Dataset) -> Self {
        let images: Vec<_> = (0..2000).map(|i| heldout.image(i)).collect();
        let all = (0..heldout.len()).filter_map(|i| heldout.attributes(i));
        Self { residuals: read(&images).0, shares: shares(&all.collect::<Vec<_>>()) }
    }

    /// Residual, share beyond the 99th percentile of real cats, AUC, and the largest difference in
    /// a kind's share.
    fn measure(&self, drawn: &[Vec<f32>]) -> [f64; 4] {
        let (residuals, attributes) = read(drawn);
        let found = shares(&attributes);
        let pairs = found.iter().flatten().zip(self.shares.iter().flatten());
        let off = pairs.map(|(found, real)| (found - real).abs()).fold(0.0, f64::max);
        [
            quantile(&residuals, 0.5),
            share_above(&residuals, quantile(&self.residuals, 0.99)),
            chance_larger(&residuals, &self.residuals),
            off,
        ]
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let judge = Judge::new(&Cats::new(Split::HeldOut));
    let mut rows = done()?;
    let jobs = (0..args.seeds).flat_map(|seed| {
        let first = FIRST.iter().map(move |recipe| (seed, recipe, false));
        let more = MORE.iter().map(move |recipe| (seed, recipe, true));
        first.chain(more)
    });
    for (seed, &(name, cost, change), both) in jobs {
        let key = (name.to_string(), args.steps, seed);
        if !name.contains(&args.only) || rows.contains_key(&key) {
            continue;
        }
        let steps = (args.steps as f64 / cost).round() as u64;
        let mut config = config(seed, steps);
        if both || name == "both" {
            v_prediction(&mut config);
            cosine(&mut config);
        }
        change(&mut config);
        let row = run(&device, config, steps, &judge)?;
        cli::println!("{name}, seed {seed}: {row:.4?}");
        let mut file =
            std::fs::File::options().create(true).append(true).open("recipes.csv")?;
        let numbers = row.map(|number| number.to_string()).join(",");
        writeln!(file, "\"{name}\",{},{seed},{numbers}", args.steps)?;
        rows.insert(key, row);
    }
    print_table(&rows, &args);
    Ok(())
}

/// Trains, draws and measures.
fn run(
    device: &AutoDevice,
    config: TrainConfig,
    steps: u64,
    judge: &Judge,
) -> anyhow::Result<[f64; 5]> {
    let train = Cats::new(Split::Train);
    let (batch, seed) = (config.batch_size as f64, config.seed);
    let mut trainer = Trainer::new(device, config)?;
    let begin = std::time::Instant::now();
    for _ in 0..steps {
        trainer.train_step(&train)?;
    }
    let speed = steps as f64 * batch / begin.elapsed().as_secs_f64();
    let model = trainer.model();
    let denoise = denoiser(device, &model.network);
    let mut drawn = Vec::new();
    for first in (0..DRAWN).step_by(BATCH as usize) {
        let mut rngs = sources(seed, first..first + BATCH);
        let noise = noise_per_image(device, (rngs.len(), 3, 16, 16), &mut rngs);
        let timesteps = TimestepSpacing::Leading.timesteps(1000, 50, 0);
        let solver = Ddim::for_model(&model, 1.0);
        let images = walk(solver, noise, &timesteps, rngs, &denoise).finish();
        drawn.extend(images.as_vec().chunks(3 * 16 * 16).map(<[f32]>::to_vec));
    }
    let [residual, beyond, auc, off] = judge.measure(&drawn);
    Ok([residual, beyond, auc, off, speed])
}

type Rows = BTreeMap<(String, u64, u64), [f64; 5]>;

/// The rows of recipes.csv, if it exists.
fn done() -> anyhow::Result<Rows> {
    let mut rows = Rows::new();
    if !std::path::Path::new("recipes.csv").exists() {
        return Ok(rows);
    }
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).from_path("recipes.csv")?;
    for row in reader.deserialize() {
        let (name, steps, seed, [a, b, c, d, e]): (String, u64, u64, [f64; 5]) = row?;
        rows.insert((name, steps, seed), [a, b, c, d, e]);
    }
    Ok(rows)
}

fn print_table(rows: &Rows, args: &Args) {
    cli::println!("| recipe | {} |", MEASURES.join(" | "));
    cli::println!("|---|{}", "---:|".repeat(MEASURES.len()));
    for (name, ..) in FIRST.iter().chain(&MORE) {
        let all: Vec<[f64; 5]> = (0..args.seeds)
            .filter_map(|seed| rows.get(&(name.to_string(), args.steps, seed)).copied())
            .collect();
        if all.is_empty() {
            continue;
        }
        let spread = |at: usize| {
            Spread::from_values(&all.iter().map(|r| r[at]).collect::<Vec<_>>())
        };
        cli::println!(
            "| {name} | {:.4} | {:.3} | {:.3} | {:.3} | {:.0} |",
            spread(0),
            spread(1),
            spread(2),
            spread(3),
            spread(4)
        );
    }
}
