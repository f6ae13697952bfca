//! Chapters 6 to 8: cats from noise.

use std::path::Path;

use ch04_unet::model_dir;
use ch06_sampling::{ancestral_walk, denoiser, noise_per_image, sources, walk, Walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, Condition, Guidance};
use dfdx::prelude::*;
use ops::Images;
use serde::Deserialize;

use crate::{files, frame, Frames};

/// Where the page puts the models that come with the book.
pub(crate) const CATS: &str = "cats";
pub(crate) const CATS_TEXT: &str = "cats-text";

/// How many steps the long walk takes between one picture and the next.
pub(crate) const EVERY: usize = 5;
/// Cats that are drawn together.
pub(crate) const COUNT: usize = 4;

/// The walk of chapter 6 over all timesteps: x_t, and the prediction of x0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ancestral {
    seed: u64,
}

impl Ancestral {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let device = crate::device();
        let model = model_dir::load_from(&*files(), &device, Path::new(CATS))?;
        let shape = model.image_shape(None)?;
        let walk = ancestral_walk(&device, &model, shape, 0..1, self.seed);
        let shown = walk.filter(|step| step.t % EVERY == 0);
        Ok(Box::new(shown.map(|step| frame(&[&step.next, &step.x0], 2, format!("t = {}", step.t)))))
    }
}

/// The walk of chapter 7: x_t above the prediction of x0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FewSteps {
    seed: u64,
    steps: usize,
    eta: f64,
}

impl FewSteps {
    pub fn frames(self) -> anyhow::Result<Frames> {
        anyhow::ensure!(
            (0.0..=1.0).contains(&self.eta),
            "eta = {}: it must be from 0 to 1",
            self.eta
        );
        let device = crate::device();
        let model = model_dir::load_from(&*files(), &device, Path::new(CATS))?;
        let shape = model.image_shape(None)?;
        let (ddim, denoise) =
            (Ddim::for_model(&model, self.eta), denoiser(&device, &model.network));
        short_walk(ddim, shape, self.steps, self.seed, denoise)
    }
}

/// What chapter 8 draws when it is asked in words for a cat: x_t above the prediction of x0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    prompt: String,
    guidance_scale: f64,
    seed: u64,
    steps: usize,
}

impl Prompt {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let guidance_scale = self.guidance_scale;
        anyhow::ensure!(
            guidance_scale.is_finite() && guidance_scale >= 0.0,
            "a guidance scale is a number not below 0"
        );
        let device = crate::device();
        let (model, file) = model::load_from(&*files(), &device, Path::new(CATS_TEXT))?;
        let shape =
            model.network.unet.config().input_shape().expect("the book's model says what it draws");
        let guidance = Guidance {
            conditions: vec![file.read(&self.prompt)?; COUNT],
            negative: vec![Condition::Nothing; COUNT],
            guidance_scale,
        };
        let denoise = guidance.denoiser(&device, &model.network);
        let ddim = Ddim::for_model(&model, 0.0);
        short_walk(ddim, shape, self.steps, self.seed, denoise)
    }
}

/// Three walks from the same noise: without the prompt, with it, and guided. x_t above the
/// prediction of x0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guided {
    prompt: String,
    /// Used where there would otherwise be no prompt; ignored if empty.
    negative_prompt: String,
    guidance_scale: f64,
    seed: u64,
}

/// Steps of each of the three walks.
const GUIDED_STEPS: usize = 20;

impl Guided {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let scale = self.guidance_scale;
        anyhow::ensure!(scale.is_finite(), "a guidance scale is a number");
        let device = crate::device();
        let (model, file) = model::load_from(&*files(), &device, Path::new(CATS_TEXT))?;
        let wanted = file.read(&self.prompt)?;
        let unwanted = match self.negative_prompt.trim() {
            "" => Condition::Nothing,
            negative => file.read(negative)?,
        };
        let shape =
            model.network.unet.config().input_shape().expect("the book's model says what it draws");
        let walks = [0.0, 1.0, scale].map(|guidance_scale| {
            let guidance = Guidance {
                conditions: vec![wanted.clone()],
                negative: vec![unwanted.clone()],
                guidance_scale,
            };
            let denoise = guidance.denoiser(&device, &model.network);
            let steps = model.diffusion.schedule.len();
            let timesteps = TimestepSpacing::Trailing.timesteps(steps, GUIDED_STEPS.min(steps), 0);
            let mut rngs = sources(self.seed, 0..1);
            let shape = (1, shape[0], shape[1], shape[2]);
            let noise = noise_per_image(&device, shape, &mut rngs);
            walk(Ddim::for_model(&model, 0.0), noise, &timesteps, rngs, denoise)
        });
        let [without, with, guided] = walks;
        Ok(Box::new(without.zip(with).zip(guided).map(move |((without, with), guided)| {
            let caption = format!("t = {}: scale 0, scale 1, scale {scale}", without.t);
            let steps = [&without, &with, &guided];
            let rows: Vec<&Images<Cpu>> =
                steps.iter().map(|s| &s.next).chain(steps.iter().map(|s| &s.x0)).collect();
            frame(&rows, 3, caption)
        })))
    }
}

/// The steps of a short walk, and the cats at its end.
fn short_walk(
    ddim: Ddim,
    [channels, height, width]: [usize; 3],
    steps: usize,
    seed: u64,
    denoise: impl Fn(&Images<Cpu>, usize) -> Images<Cpu> + 'static,
) -> anyhow::Result<Frames> {
    let len = ddim.diffusion.schedule.len();
    anyhow::ensure!((1..=len).contains(&steps), "{steps} steps: the model can take 1 to {len}");
    let timesteps = TimestepSpacing::Trailing.timesteps(len, steps, 0);
    let mut rngs = sources(seed, 0..COUNT as u64);
    let shape = (COUNT, channels, height, width);
    let noise = noise_per_image(&crate::device(), shape, &mut rngs);
    let walk = walk(ddim, noise, &timesteps, rngs, denoise);
    let caption = format!("{COUNT} cats in {steps} step{}", if steps == 1 { "" } else { "s" });
    Ok(film(walk, steps, caption))
}

/// The `steps` steps of a walk, and its result with this caption.
pub(crate) fn film(walk: Walk<'static, Cpu>, steps: usize, caption: String) -> Frames {
    Box::new(walk.zip(1..).flat_map(move |(step, number)| {
        let now =
            format!("t = {}: the noisy cats, and below them the predicted clean ones", step.t);
        let on_the_way = frame(&[&step.x_t, &step.x0], COUNT, now);
        let end =
            (number == steps).then(|| frame(&[&step.next, &step.next], COUNT, caption.clone()));
        std::iter::once(on_the_way).chain(end)
    }))
}
