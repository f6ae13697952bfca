//! What is evaluated, what it is told, and how it draws.

use std::path::Path;

use anyhow::Context;
use ch01_tensors::Dataset;
use ch03_forward::Purpose;
use ch04_unet::model_dir::{self, Model};
use ch04_unet::{UNet, UNetConfig};
use ch06_sampling::program::{check_finite, BATCH};
use ch06_sampling::{denoiser, noise_per_image, sources, walk};
use ch06_sampling::{Ancestral, Denoiser, Solver};
use ch07_ddim::flags::{SolverArgs, SolverKind, Spacing};
use ch08_conditioning::captions::{phrase, Asked};
use ch08_conditioning::model::{self, ConditioningFile};
use ch08_conditioning::{Condition, ConditionalUNet, ConditioningConfig, Guidance};
use clap::ValueEnum;
use cli::progress::Progress;
use ops::AutoDevice;
use rand::seq::SliceRandom;

/// A solver by name; `None` is ancestral sampling.
#[derive(Clone, Debug)]
pub(super) struct NamedSolver {
    pub(super) name: String,
    pub(super) solver: Option<SolverArgs>,
}

/// The solver of ancestral sampling.
const ANCESTRAL: &str = "ddpm";

pub(super) fn named_solver(text: &str) -> Result<NamedSolver, String> {
    let name = text.to_string();
    if text == ANCESTRAL {
        return Ok(NamedSolver { name, solver: None });
    }
    let (kind, eta) =
        text.split_once(':').map_or((text, None), |(kind, eta)| (kind, Some(eta)));
    let solver = SolverKind::from_str(kind, false).map_err(|_| unknown_solver())?;
    let eta = match eta {
        None => 0.0,
        Some(eta) if solver == SolverKind::Ddim => ch07_ddim::flags::eta(eta)?,
        Some(_) => return Err(unknown_solver()),
    };
    Ok(NamedSolver { name, solver: Some(SolverArgs { solver, eta }) })
}

/// Which solvers there are.
fn unknown_solver() -> String {
    let mut names = vec![ANCESTRAL.to_string()];
    for kind in SolverKind::value_variants() {
        names.extend(kind.to_possible_value().map(|value| value.get_name().into()));
        if *kind == SolverKind::Ddim {
            names.push("ddim:ETA".into());
        }
    }
    let last = names.pop().unwrap_or_default();
    format!("a sampler is {} or {last}", names.join(", "))
}

impl NamedSolver {
    fn for_model(
        &self,
        model: &Subject,
    ) -> anyhow::Result<Box<dyn Solver<AutoDevice>>> {
        match &self.solver {
            Some(solver) => solver.for_model(model),
            None => Ok(Box::new(Ancestral::for_model(model))),
        }
    }
}

/// What is evaluated.
pub(super) type Subject = Model<Network>;

/// The network of what is evaluated.
pub(super) enum Network {
    Plain(Box<UNet<AutoDevice>>),
    Conditional(Box<ConditionalUNet<AutoDevice>>, ConditioningFile),
}

/// Reads what is evaluated.
pub(super) fn open(device: &AutoDevice, directory: &Path) -> anyhow::Result<Subject> {
    if !model_dir::is_conditional(directory) {
        let model = model_dir::load(device, directory)?;
        return Ok(model.map(|unet| Network::Plain(Box::new(unet))));
    }
    let (model, file) = model::load(device, directory)?;
    Ok(model.map(|network| Network::Conditional(Box::new(network), file)))
}

impl Network {
    pub(super) fn is_conditional(&self) -> bool {
        matches!(self, Self::Conditional(..))
    }

    pub(super) fn unet(&self) -> &UNetConfig {
        match self {
            Self::Plain(unet) => unet.config(),
            Self::Conditional(network, _) => network.unet.config(),
        }
    }

    /// The denoiser for images of which `asked` is asked.
    fn denoiser(
        &self,
        device: &AutoDevice,
        asked: &[Told],
        guidance_scale: f64,
    ) -> Box<Denoiser<'static, AutoDevice>> {
        match self {
            Self::Plain(unet) => Box::new(denoiser(device, unet)),
            Self::Conditional(network, _) => {
                let conditions =
                    asked.iter().map(|told| told.condition.clone()).collect();
                let negative = vec![Condition::Nothing; asked.len()];
                Box::new(
                    Guidance { conditions, negative, guidance_scale }
                        .denoiser(device, network),
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
        let Network::Conditional(_, file) = &subject.network else {
            return Ok(nothing);
        };
        Ok(match &file.conditioning {
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
    pub(super) sampler: &'a NamedSolver,
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
    let [channels, height, width] =
        subject.network.unet().input_shape().expect("checked before");
    let timesteps = spacing.timesteps(subject.diffusion.schedule.len(), steps)?;
    let mut progress = Progress::new(told.len() as u64, 0);
    let mut drawn = Vec::new();
    for (batch, told) in told.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        let mut rngs = sources(seed, first as u64..(first + told.len()) as u64);
        let x =
            noise_per_image(device, (told.len(), channels, height, width), &mut rngs);
        let denoise = subject.network.denoiser(device, told, guidance_scale);
        let solver = sampler.for_model(subject)?;
        let images = walk(solver, x, &timesteps, rngs, denoise).finish();
        check_finite(&images)?;
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
