//! What is evaluated, what it is told, and how it draws.

use anyhow::Context;
use ch01_tensors::Dataset;
use ch02_schedule::Schedule;
use ch03_forward::Purpose;
use ch04_unet::model_dir::{Model, SchedulerConfig};
use ch04_unet::UNetConfig;
use ch06_sampling::{denoiser, noise_per_image, sources, Sampler};
use ch07_ddim::flags::{Solver, Spacing, Way};
use ch07_ddim::Ddim;
use ch08_conditioning::captions::{phrase, Asked};
use ch08_conditioning::model::ConditionalModel;
use ch08_conditioning::{Condition, ConditioningConfig, Guidance};
use cli::progress::Progress;
use ops::{AutoDevice, Images};
use rand::seq::SliceRandom;

use ch06_sampling::program::BATCH;

/// A way to draw; `None` is ancestral sampling.
#[derive(Clone, Debug)]
pub(super) struct NamedWay {
    pub(super) name: String,
    pub(super) way: Option<Way>,
}

pub(super) fn way(text: &str) -> Result<NamedWay, String> {
    let ddim = |eta| Some(Way { solver: Solver::Ddim, eta });
    let way = match text.split_once(':') {
        None if text == "ddpm" => None,
        None if text == "ddim" => ddim(0.0),
        None if text == "dpm-solver++" => {
            Some(Way { solver: Solver::DpmSolver, eta: 0.0 })
        }
        Some(("ddim", eta)) => ddim(
            eta.parse()
                .ok()
                .filter(|eta| (0.0..=1.0).contains(eta))
                .ok_or("eta is a number from 0 to 1")?,
        ),
        _ => return Err("a sampler is ddpm, ddim, ddim:ETA or dpm-solver++".into()),
    };
    Ok(NamedWay { name: text.to_string(), way })
}

/// What is evaluated.
pub(super) enum Subject {
    Plain(Box<Model<AutoDevice>>),
    Conditional(Box<ConditionalModel<AutoDevice>>),
}

/// Answers for x_t at t.
type Denoiser = Box<dyn Fn(&Images<AutoDevice>, usize) -> Images<AutoDevice>>;

impl Subject {
    pub(super) fn schedule(&self) -> &Schedule {
        match self {
            Self::Plain(model) => &model.schedule,
            Self::Conditional(model) => &model.schedule,
        }
    }

    pub(super) fn scheduler(&self) -> &SchedulerConfig {
        match self {
            Self::Plain(model) => &model.scheduler,
            Self::Conditional(model) => &model.scheduler,
        }
    }

    pub(super) fn notes(&self) -> &[String] {
        match self {
            Self::Plain(model) => &model.notes,
            Self::Conditional(model) => &model.notes,
        }
    }

    pub(super) fn unet(&self) -> &UNetConfig {
        match self {
            Self::Plain(model) => model.unet.config(),
            Self::Conditional(model) => model.network.unet.config(),
        }
    }

    pub(super) fn input_shape(&self) -> Option<[usize; 3]> {
        self.unet().input_shape()
    }

    /// What answers for images of which `asked` is asked.
    fn denoiser(
        &self,
        device: &AutoDevice,
        asked: &[Told],
        guidance_scale: f64,
    ) -> Denoiser {
        match self {
            Self::Plain(model) => Box::new(denoiser(device, &model.unet)),
            Self::Conditional(model) => {
                let conditions =
                    asked.iter().map(|told| told.condition.clone()).collect();
                let negative = vec![Condition::Nothing; asked.len()];
                Box::new(
                    Guidance { conditions, negative, guidance_scale }
                        .denoiser(device, &model.network),
                )
            }
        }
    }
}

/// What was asked for in one image.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) condition: Condition,
    /// The held-out image of which the same is true.
    pub(super) like: usize,
    /// What the prompt says, if it is about cats.
    pub(super) asked: Option<Asked>,
}

/// What is asked for: the same as is true of some held-out images, which the seed
/// chooses.
pub(super) fn told(
    subject: &Subject,
    heldout: &dyn Dataset,
    count: usize,
    seed: u64,
) -> anyhow::Result<Vec<Told>> {
    let mut rng = Purpose::Evaluation.rng(seed, 0);
    let mut order: Vec<usize> = (0..heldout.len()).collect();
    order.shuffle(&mut rng);
    let one = |i: usize| {
        let like = order[i % order.len()];
        let nothing = Told { condition: Condition::Nothing, like, asked: None };
        let Subject::Conditional(model) = subject else { return Ok(nothing) };
        Ok(match &model.file.conditioning {
            ConditioningConfig::Class { .. } => {
                Told { condition: Condition::Label(heldout.label(like)), ..nothing }
            }
            ConditioningConfig::Text(text) => {
                let asked = heldout.attributes(like).map(|cat| Asked::all(&cat));
                let prompt = match &asked {
                    Some(asked) => phrase(asked, &mut rng),
                    None => heldout.caption(like),
                };
                Told {
                    condition: text
                        .read(&prompt)
                        .with_context(|| format!("\"{prompt}\""))?,
                    like,
                    asked,
                }
            }
        })
    };
    (0..count).map(one).collect()
}

/// A row of the table: how its images are drawn.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) sampler: &'a NamedWay,
    pub(super) steps: u32,
    pub(super) guidance_scale: f64,
}

/// Draws an image for each that was asked for.
pub(super) fn draw(
    device: &AutoDevice,
    subject: &Subject,
    spacing: &Spacing,
    Setting { sampler, steps, guidance_scale }: Setting,
    told: &[Told],
    seed: u64,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let schedule = subject.schedule();
    let (prediction_type, clip) =
        (subject.scheduler().prediction_type, subject.scheduler().clip());
    let [channels, height, width] = subject.input_shape().expect("checked before");
    let timesteps = spacing.timesteps(schedule.len(), steps)?;
    let mut progress = Progress::new(told.len() as u64, 0);
    let mut drawn = Vec::new();
    for (batch, told) in told.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        let mut rngs = sources(seed, first as u64..(first + told.len()) as u64);
        let x =
            noise_per_image(device, (told.len(), channels, height, width), &mut rngs);
        let denoise = subject.denoiser(device, told, guidance_scale);
        let images = match &sampler.way {
            Some(way) => way.go(
                Ddim::new(schedule, prediction_type, clip, 0.0),
                &timesteps,
                x,
                &mut rngs,
                denoise,
            )?,
            None => {
                let variance_type = subject.scheduler().variance_type;
                let sampler =
                    Sampler { schedule, prediction_type, variance_type, clip };
                sampler.sample(x, &mut rngs, denoise, |_, _, _| {})
            }
        };
        drawn.extend(
            images.as_vec().chunks(channels * height * width).map(<[f32]>::to_vec),
        );
        progress.update((first + told.len()) as u64, || {
            format!("{} in {steps} steps", sampler.name)
        });
    }
    progress.finish();
    Ok(drawn)
}
