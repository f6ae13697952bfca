//! The model being evaluated, what it is asked to draw, and how it draws.

use std::path::Path;

use anyhow::Context;
use ch01_tensors::Dataset;
use ch03_forward::Purpose;
use ch04_unet::model_dir::{self, Model};
use ch04_unet::{UNet, UNetConfig};
use ch06_sampling::program::{check_finite, BATCH};
use ch06_sampling::Denoiser;
use ch06_sampling::{denoiser, noise_per_image, sources, walk};
use ch07_ddim::flags::Spacing;
use ch08_conditioning::captions::{phrase, Asked};
use ch08_conditioning::model::{self, ConditioningFile};
use ch08_conditioning::{Condition, ConditionalUNet, ConditioningConfig, Guidance};
use cli::progress::Progress;
use files::Disk;
use ops::AutoDevice;
use rand::seq::SliceRandom;

use crate::report::Drawn;
use crate::solvers::NamedSolver;

/// The model being evaluated.
pub(super) type Target = Model<Network>;

/// Its network.
pub(super) enum Network {
    Plain(Box<UNet<AutoDevice>>),
    Conditional(Box<ConditionalUNet<AutoDevice>>, ConditioningFile),
}

/// Loads the model to be evaluated.
pub(super) fn open(device: &AutoDevice, directory: &Path) -> anyhow::Result<Target> {
    if !model_dir::is_conditional(&Disk, directory) {
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

    /// The denoiser for the images of these requests.
    fn denoiser(
        &self,
        device: &AutoDevice,
        requests: &[Request],
        guidance_scale: f64,
    ) -> Box<Denoiser<'static, AutoDevice>> {
        match self {
            Self::Plain(unet) => Box::new(denoiser(device, unet)),
            Self::Conditional(network, _) => {
                let conditions =
                    requests.iter().map(|request| request.condition.clone()).collect();
                let negative = vec![Condition::Nothing; requests.len()];
                Box::new(
                    Guidance { conditions, negative, guidance_scale }
                        .denoiser(device, network),
                )
            }
        }
    }
}

/// What one image is to show.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) condition: Condition,
    /// The held-out image that shows the same thing.
    pub(super) like: usize,
    /// What the prompt says, if it is about cats.
    pub(super) asked: Option<Asked>,
}

/// Requests for what some held-out images show; the seed chooses which.
///
/// # Errors
/// If the model does not know a word of a caption.
pub(super) fn requests(
    target: &Target,
    heldout: &dyn Dataset,
    count: usize,
    seed: u64,
) -> anyhow::Result<Vec<Request>> {
    let mut rng = Purpose::Evaluation.rng(seed, 0);
    let mut order: Vec<usize> = (0..heldout.len()).collect();
    order.shuffle(&mut rng);
    let one = |i: usize| {
        let like = order[i % order.len()];
        let unconditional =
            Request { condition: Condition::Nothing, like, asked: None };
        let Network::Conditional(_, file) = &target.network else {
            return Ok(unconditional);
        };
        Ok(match &file.conditioning {
            ConditioningConfig::Class { .. } => Request {
                condition: Condition::Label(heldout.label(like)),
                ..unconditional
            },
            ConditioningConfig::Text(text) => {
                let asked = heldout.attributes(like).map(|cat| Asked::all(&cat));
                let prompt = match &asked {
                    Some(asked) => phrase(asked, &mut rng),
                    None => heldout.caption(like),
                };
                Request {
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

impl Setting<'_> {
    /// How the report names it.
    pub(super) fn name(&self, is_conditional: bool) -> Drawn {
        Drawn {
            sampler: self.sampler.name.clone(),
            steps: Some(self.steps as usize),
            guidance_scale: is_conditional.then_some(self.guidance_scale),
        }
    }
}

/// Draws an image for each request.
///
/// # Errors
/// If the solver does not fit the model, or the images are not finite.
pub(super) fn draw(
    device: &AutoDevice,
    target: &Target,
    spacing: &Spacing,
    Setting { sampler, steps, guidance_scale }: Setting,
    requests: &[Request],
    seed: u64,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let [channels, height, width] =
        target.network.unet().input_shape().expect("checked before");
    let timesteps = spacing.timesteps(target.diffusion.schedule.len(), steps)?;
    let mut progress = Progress::new(requests.len() as u64, 0);
    let mut drawn = Vec::new();
    for (batch, requests) in requests.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        let mut rngs = sources(seed, first as u64..(first + requests.len()) as u64);
        let x = noise_per_image(
            device,
            (requests.len(), channels, height, width),
            &mut rngs,
        );
        let denoise = target.network.denoiser(device, requests, guidance_scale);
        let solver = sampler.for_model(target)?;
        let images = walk(solver, x, &timesteps, rngs, denoise).finish();
        check_finite(&images)?;
        drawn.extend(
            images.as_vec().chunks(channels * height * width).map(<[f32]>::to_vec),
        );
        progress.update((first + requests.len()) as u64, || {
            format!("{} in {steps} steps", sampler.name)
        });
    }
    progress.finish();
    Ok(drawn)
}
