//! The commands `classifier` and `evaluate`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use ch01_tensors::cats::{attributes_of, Attributes};
use ch01_tensors::{DataArgs, Dataset, Split};
use ch02_schedule::Schedule;
use ch03_forward::rng;
use ch04_unet::model_dir::{self, Model, SchedulerConfig};
use ch06_sampling::{noise_per_image, Sampler};
use ch07_ddim::flags::{Solver, Spacing, Way};
use ch07_ddim::Ddim;
use ch08_conditioning::captions::{left_out, phrase, Asked};
use ch08_conditioning::evaluation::classifier::{self, Classifier, ClassifierConfig};
use ch08_conditioning::evaluation::{frechet_distance, kernel_distance, nearest};
use ch08_conditioning::model::{self, ConditionalModel};
use ch08_conditioning::{Condition, ConditioningConfig, Guidance};
use cli::progress::Progress;
use dfdx::prelude::*;
use figures::{palette, Axes, Scale, Series};
use ops::{AutoDevice, Images};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::drawing::guidance_scale;

#[derive(clap::Args)]
pub struct ClassifierArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Steps to train
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Images per step
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    /// Decides every random number of the training
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the classifier goes
    #[arg(long, value_name = "DIR", default_value = "runs/classifier")]
    out: PathBuf,
    /// How many threads to use (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
}

/// Trains a classifier and says how often it is right.
pub fn train_classifier(args: ClassifierArgs) -> anyhow::Result<()> {
    cli::set_threads(args.threads.map(|t| t as usize))?;
    let device = cli::device(0)?;
    let (train, heldout) = (args.data.open(Split::Train)?, args.data.open(Split::HeldOut)?);
    let config = ClassifierConfig {
        dataset: train.name().to_string(),
        shape: train.shape(),
        questions: classifier::questions(train.as_ref()),
        steps: args.steps,
        batch_size: args.batch_size as usize,
        seed: args.seed,
        accuracy: 0.0,
    };
    let mut progress = Progress::new(args.steps, 0);
    let mut losses = "step,loss\n".to_string();
    let watch = |step, loss| {
        losses += &format!("{step},{loss}\n");
        progress.update(step + 1, || format!("loss {loss:.4}"));
    };
    let trained = classifier::train_classifier(&device, config, train.as_ref(), watch);
    let mut trained = trained.map_err(|e| anyhow::anyhow!("the device failed: {e:?}"))?;
    progress.finish();
    trained.config.accuracy = classifier::accuracy(&device, &trained, heldout.as_ref());
    println!("right about {:.2} % of {} held-out images", 100.0 * trained.config.accuracy, heldout.len());
    classifier::save(&args.out, &mut trained)?;
    files::write(args.out.join("metrics.csv"), losses.as_bytes())?;
    println!("wrote {}", args.out.display());
    Ok(())
}

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

/// A way to draw; `None` is ancestral sampling.
#[derive(Clone, Debug)]
struct NamedWay {
    name: String,
    way: Option<Way>,
}

fn way(text: &str) -> Result<NamedWay, String> {
    let ddim = |eta| Some(Way { solver: Solver::Ddim, eta });
    let way = match text.split_once(':') {
        None if text == "ddpm" => None,
        None if text == "ddim" => ddim(0.0),
        None if text == "dpm-solver++" => Some(Way { solver: Solver::DpmSolver, eta: 0.0 }),
        Some(("ddim", eta)) => {
            ddim(eta.parse().ok().filter(|eta| (0.0..=1.0).contains(eta)).ok_or("eta is a number from 0 to 1")?)
        }
        _ => return Err("a sampler is ddpm, ddim, ddim:ETA or dpm-solver++".into()),
    };
    Ok(NamedWay { name: text.to_string(), way })
}

/// What is evaluated.
enum Subject {
    Plain(Box<Model<AutoDevice>>),
    Conditional(Box<ConditionalModel<AutoDevice>>),
}

impl Subject {
    fn schedule(&self) -> &Schedule {
        match self {
            Self::Plain(model) => &model.schedule,
            Self::Conditional(model) => &model.schedule,
        }
    }

    fn scheduler(&self) -> &SchedulerConfig {
        match self {
            Self::Plain(model) => &model.scheduler,
            Self::Conditional(model) => &model.scheduler,
        }
    }

    fn input_shape(&self) -> Option<[usize; 3]> {
        match self {
            Self::Plain(model) => model.unet.config().input_shape(),
            Self::Conditional(model) => model.network.unet.config().input_shape(),
        }
    }

    /// The network's answer for images of which the first is number `first`.
    fn answer(&self, asked: &[Told], scale: f64, x: &Images<AutoDevice>, t: usize) -> Images<AutoDevice> {
        match self {
            Self::Plain(model) => model.unet.forward(x.clone(), &vec![t; x.shape().0]),
            Self::Conditional(model) => {
                let conditions = asked.iter().map(|told| told.condition.clone()).collect();
                let negative = vec![Condition::Nothing; asked.len()];
                Guidance { conditions, negative, guidance_scale: scale }.answer(&model.network, x, t)
            }
        }
    }
}

/// What was asked for in one image.
#[derive(Clone, Debug)]
struct Told {
    condition: Condition,
    /// The held-out image of which the same is true.
    like: usize,
    /// What the prompt says, if it is about cats.
    asked: Option<Asked>,
}

/// How often the drawn images are what was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Right {
    /// Share of images whose class the classifier recognises.
    Class(f64),
    /// Shares of cats of which everything is right, among those of kinds that were seen in training and that were not; and
    /// of which each attribute is right.
    Cats { seen: f64, unseen: f64, unseen_count: usize, fur: f64, pattern: f64, eyes: f64, ears: f64, background: f64 },
}

/// A row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    sampler: String,
    steps: Option<usize>,
    guidance_scale: Option<f64>,
    images_per_second: Option<f64>,
    frechet_distance: f64,
    kernel_distance: f64,
    /// Median root mean square difference to the nearest training image.
    nearest: f64,
    right: Option<Right>,
}

/// Everything that was found out.
#[derive(Serialize, Deserialize)]
struct Report {
    model: String,
    dataset: String,
    count: usize,
    classifier_accuracy: f64,
    /// Held-out real images, judged as if they had been drawn.
    real: Row,
    rows: Vec<Row>,
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
    let classifier = classifier::load(&device, &classifier_dir)?;
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
        features: classifier::features_of(&device, &classifier, &compared),
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

/// What is asked for: the same as is true of held-out images.
fn told(subject: &Subject, heldout: &dyn Dataset, count: usize, seed: u64) -> anyhow::Result<Vec<Told>> {
    let mut rng = rng(seed, PROMPTS);
    let one = |i: usize| {
        let like = i % heldout.len();
        let nothing = Told { condition: Condition::Nothing, like, asked: None };
        let Subject::Conditional(model) = subject else { return Ok(nothing) };
        Ok(match &model.file.conditioning {
            ConditioningConfig::Class { .. } => Told { condition: Condition::Label(heldout.label(like)), ..nothing },
            ConditioningConfig::Text(text) => {
                let caption = heldout.caption(like);
                let asked = (heldout.name() == "cats").then(|| Asked::of_caption(&caption));
                let prompt = asked.map_or(caption, |asked| phrase(&asked, &mut rng));
                let words = text.vocabulary.encode(&prompt, text.max_words).with_context(|| format!("\"{prompt}\""))?;
                Told { condition: Condition::Words(words), like, asked }
            }
        })
    };
    (0..count).map(one).collect()
}

/// The stream of random numbers for prompts.
const PROMPTS: u64 = u64::MAX - 3;

fn draw(
    device: &AutoDevice,
    subject: &Subject,
    args: &EvaluateArgs,
    named: &NamedWay,
    steps: u32,
    scale: f64,
    told: &[Told],
) -> anyhow::Result<Vec<Vec<f32>>> {
    let schedule = subject.schedule();
    let (prediction_type, clip) = (subject.scheduler().prediction_type, subject.scheduler().clip());
    let [channels, height, width] = subject.input_shape().expect("checked before");
    let timesteps = args.spacing.timesteps(schedule.len(), steps)?;
    let mut progress = Progress::new(told.len() as u64, 0);
    let mut drawn = Vec::new();
    for (batch, told) in told.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        let mut rngs: Vec<_> = (first..first + told.len()).map(|image| rng(args.seed, image as u64)).collect();
        let x = noise_per_image(device, (told.len(), channels, height, width), &mut rngs);
        let denoise = |x: &Images<AutoDevice>, t: usize| subject.answer(told, scale, x, t);
        let images = match &named.way {
            Some(way) => way.go(Ddim::new(schedule, prediction_type, clip, 0.0), &timesteps, x, &mut rngs, denoise)?,
            None => {
                let variance_type = subject.scheduler().variance_type;
                let sampler = Sampler { schedule, prediction_type, variance_type, clip };
                sampler.sample(x, &mut rngs, denoise, |_, _, _| {})
            }
        };
        drawn.extend(images.as_vec().chunks(channels * height * width).map(<[f32]>::to_vec));
        progress.update((first + told.len()) as u64, || format!("{} in {steps} steps", named.name));
    }
    progress.finish();
    Ok(drawn)
}

/// What drawn images are judged by.
struct Judge<'a> {
    device: &'a AutoDevice,
    classifier: &'a Classifier<AutoDevice>,
    /// Training images and their features.
    compared: Vec<Vec<f32>>,
    features: Vec<Vec<f64>>,
    told: Vec<Told>,
    heldout: &'a dyn Dataset,
}

impl Judge<'_> {
    fn row(
        &self,
        sampler: &str,
        steps: Option<usize>,
        guidance_scale: Option<f64>,
        images_per_second: Option<f64>,
        images: &[Vec<f32>],
    ) -> Row {
        let features = classifier::features_of(self.device, self.classifier, images);
        let mut distances: Vec<f64> = nearest(images, &self.compared).into_iter().map(|n| n.1).collect();
        distances.sort_by(f64::total_cmp);
        Row {
            sampler: sampler.to_string(),
            steps,
            guidance_scale,
            images_per_second,
            frechet_distance: frechet_distance(&features, &self.features),
            kernel_distance: kernel_distance(&features, &self.features),
            nearest: distances[distances.len() / 2],
            right: self.right(images),
        }
    }

    /// How often images are what was asked for; nothing if nothing was.
    fn right(&self, images: &[Vec<f32>]) -> Option<Right> {
        match (&self.told[0].condition, self.told[0].asked) {
            (Condition::Label(_), _) => {
                let [channels, height, width] = self.classifier.config.shape;
                let mut right = 0;
                for (images, told) in images.chunks(BATCH).zip(self.told.chunks(BATCH)) {
                    let x = ops::tensor(self.device, images.concat(), (images.len(), channels, height, width));
                    let found = self.classifier.answer(x);
                    right += found.iter().zip(told).filter(|(f, t)| f[0] == self.heldout.label(t.like)).count();
                }
                Some(Right::Class(right as f64 / images.len() as f64))
            }
            (Condition::Words(_), Some(_)) => {
                let found: Vec<Attributes> = images.par_iter().map(|image| attributes_of(image)).collect();
                Some(self.cats(&found))
            }
            _ => None,
        }
    }

    fn cats(&self, found: &[Attributes]) -> Right {
        let asked = self.told.iter().map(|told| told.asked.expect("every prompt is about a cat"));
        let (mut each, mut all, mut count) = ([0; 5], [0; 2], [0; 2]);
        for (asked, found) in asked.zip(found) {
            let right = asked.right(found).map(|right| right != Some(false));
            for (sum, right) in each.iter_mut().zip(right) {
                *sum += right as usize;
            }
            let kind = left_out(&asked) as usize;
            count[kind] += 1;
            all[kind] += right.iter().all(|&right| right) as usize;
        }
        let share = |part: usize, of: usize| part as f64 / of as f64;
        let [fur, pattern, eyes, ears, background] = each.map(|sum| share(sum, found.len()));
        let (seen, unseen) = (share(all[0], count[0]), share(all[1], count[1]));
        Right::Cats { seen, unseen, unseen_count: count[1], fur, pattern, eyes, ears, background }
    }

    /// Some drawn images, and below each the training image that is nearest.
    fn pairs(&self, path: &Path, images: &[Vec<f32>]) -> anyhow::Result<()> {
        let [channels, height, width] = self.classifier.config.shape;
        let shown = &images[..images.len().min(12)];
        let below = nearest(shown, &self.compared).into_iter().map(|(number, _)| self.compared[number].clone());
        let values: Vec<f32> = shown.iter().cloned().chain(below).flatten().collect();
        let images = ops::tensor(self.device, values, (2 * shown.len(), channels, height, width));
        Ok(figures::save_png(path, &figures::image_grid(&images, shown.len(), (128 / width).clamp(1, 8)))?)
    }
}

impl Report {
    /// Prints the table and writes all that can be made of the numbers.
    fn write(&self, out: &Path) -> anyhow::Result<()> {
        let table = self.table();
        print!("{table}");
        files::write(out.join("evaluation.md"), table.as_bytes())?;
        model_dir::write_json(&out.join("evaluation.json"), self)?;
        self.plots(out)?;
        println!("wrote {}", out.display());
        Ok(())
    }

    fn table(&self) -> String {
        let (mut names, mut line) = (String::new(), String::new());
        match &self.real.right {
            Some(Right::Class(_)) => (names, line) = (" right |".into(), "---:|".into()),
            Some(Right::Cats { .. }) => {
                for name in ["all right, seen", "unseen", "fur", "pattern", "eyes", "ears", "background"] {
                    names += &format!(" {name} |");
                    line += "---:|";
                }
            }
            None => {}
        }
        let mut text = format!(
            "{}, {} images; classifier right about {:.2} %\n\n| sampler | steps | guidance | images/s | Fréchet | kernel | nearest |{names}\n|---|---:|---:|---:|---:|---:|---:|{line}\n",
            self.dataset, self.count, 100.0 * self.classifier_accuracy
        );
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        for row in [&self.real].into_iter().chain(&self.rows) {
            text += &format!(
                "| {} | {} | {} | {} | {:.3} | {:.5} | {:.3} |",
                row.sampler,
                or_dash(row.steps.map(|v| v.to_string())),
                or_dash(row.guidance_scale.map(|v| v.to_string())),
                or_dash(row.images_per_second.map(|v| format!("{v:.1}"))),
                row.frechet_distance,
                row.kernel_distance,
                row.nearest
            );
            let shares = match row.right {
                None => vec![],
                Some(Right::Class(share)) => vec![share],
                Some(Right::Cats { seen, unseen, fur, pattern, eyes, ears, background, .. }) => {
                    vec![seen, unseen, fur, pattern, eyes, ears, background]
                }
            };
            for share in shares {
                text += &format!(" {:.1} % |", 100.0 * share);
            }
            text.push('\n');
        }
        text
    }

    /// Quality against steps, against time and against the guidance scale, as far as there is more than one of each.
    fn plots(&self, out: &Path) -> anyhow::Result<()> {
        let distance = |row: &Row| row.frechet_distance;
        let plot = |name: &str, x: &str, x_scale, at: &dyn Fn(&Row) -> Option<f64>| -> anyhow::Result<()> {
            let mut series: Vec<Series> = Vec::new();
            for row in &self.rows {
                let Some(x) = at(row) else { continue };
                let color = palette::SERIES[series.len() % palette::SERIES.len()];
                match series.iter_mut().find(|s| s.name == row.sampler) {
                    Some(s) => s.points.push((x, distance(row))),
                    None => series.push(Series { name: row.sampler.clone(), points: vec![(x, distance(row))], color }),
                }
            }
            let (low, high) =
                series.iter().flat_map(|s| &s.points).fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.0), h.max(p.0)));
            if low >= high {
                return Ok(());
            }
            // What no sampler can do better.
            let best = distance(&self.real);
            series.push(Series {
                name: "real images".into(),
                points: vec![(low, best), (high, best)],
                color: palette::INK,
            });
            let axes = Axes { x_scale, ..Axes::new(x, "Fréchet distance").log_y() };
            Ok(figures::line_plot(out.join(name), &axes, &series)?)
        };
        plot("quality_steps.svg", "steps", Scale::Logarithmic, &|row| row.steps.map(|s| s as f64))?;
        plot("quality_seconds.svg", "seconds per image", Scale::Logarithmic, &|row| {
            row.images_per_second.map(|v| 1.0 / v)
        })?;
        plot("quality_guidance.svg", "guidance scale", Scale::Linear, &|row| row.guidance_scale)
    }
}
