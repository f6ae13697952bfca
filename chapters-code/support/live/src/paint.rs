//! Chapter 8: what the network draws from a picture that the reader painted.

use std::path::Path;

use anyhow::Context;
use ch01_tensors::cats;
use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{from_image, model, Condition, Guidance, Inpaint};
use dfdx::prelude::*;
use ops::Images;
use serde::Deserialize;

use crate::board::digits;
use crate::sampling::{film, CATS_TEXT, COUNT};
use crate::{files, Frames};

/// Four cats made from a painted picture: x_t above the prediction of x0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paint {
    prompt: String,
    /// The colours of the paint box, each with its name: "black #181622, light blue #c4defa".
    colors: String,
    /// A digit for each pixel, row after row: the number of its colour, in base 36.
    image: String,
    /// A digit for each pixel: 1 where the network may draw. If there are only zeros, the network
    /// may change the whole picture.
    mask: String,
    /// The strength for image to image; inpainting has none.
    strength: f64,
    seed: u64,
}

const STEPS: usize = 20;
const GUIDANCE_SCALE: f64 = 1.5;
/// For inpainting.
const RESAMPLINGS: usize = 3;

impl Paint {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let strength = self.strength;
        anyhow::ensure!(
            (0.0..=1.0).contains(&strength),
            "strength = {strength}: it must be a number from 0 to 1"
        );
        let colors: Vec<[f32; 3]> =
            self.colors.split(',').map(color).collect::<anyhow::Result<_>>()?;
        let pixels = digits("image", &self.image, colors.len())?;
        let mask: Vec<f32> =
            digits("mask", &self.mask, 2)?.into_iter().map(|digit| digit as f32).collect();
        let device = crate::device();
        let (model, file) = model::load_from(&*files(), &device, Path::new(CATS_TEXT))?;
        let takes = model.network.unet.config().input_shape();
        let size = [3, cats::SIZE, cats::SIZE];
        anyhow::ensure!(takes == Some(size), "the network takes {takes:?}, not {size:?}");
        let conditions = vec![file.read(&self.prompt)?; COUNT];
        let images = |values: Vec<f32>| -> Images<Cpu> {
            ops::tensor(&device, values.repeat(COUNT), (COUNT, 3, cats::SIZE, cats::SIZE))
        };
        let (pixels, colors) = (&pixels, &colors);
        let plane = |channel: usize| pixels.iter().map(move |&pixel| colors[pixel][channel]);
        let image = images([0, 1, 2].into_iter().flat_map(&plane).collect());
        let len = model.diffusion.schedule.len();
        let mut timesteps = TimestepSpacing::Trailing.timesteps(len, STEPS.min(len), 0);
        let mut rngs = sources(self.seed, 0..COUNT as u64);
        let negative = vec![Condition::Nothing; COUNT];
        let guidance = Guidance { conditions, negative, guidance_scale: GUIDANCE_SCALE };
        let denoise = guidance.denoiser(&device, &model.network);
        if mask.contains(&1.0) {
            let ddim = Ddim::for_model(&model, 1.0);
            let mask = images(mask.repeat(3));
            let noise = noise_per_image(&device, *image.shape(), &mut rngs);
            let inpaint = Inpaint { ddim, image, mask, resamplings: RESAMPLINGS };
            let walk = walk(inpaint, noise, &timesteps, rngs, denoise);
            return Ok(film(walk, STEPS.min(len), "inpainting".into()));
        }
        timesteps.retain(|&t| (t as f64) < strength * len as f64);
        anyhow::ensure!(
            !timesteps.is_empty(),
            "strength = {strength}: with so little noise the picture stays as it is"
        );
        let ddim = Ddim::for_model(&model, 0.0);
        let walk = from_image(ddim, image, strength, &timesteps, rngs, denoise);
        let caption = format!("image to image, from t = {} on", timesteps[0]);
        Ok(film(walk, timesteps.len(), caption))
    }
}

/// Red, green and blue, from -1 to 1, of a colour given with its name.
fn color(text: &str) -> anyhow::Result<[f32; 3]> {
    let code = text.rsplit_once('#').map(|(_, code)| code.trim());
    let number = code.filter(|code| code.len() == 6).and_then(|c| u32::from_str_radix(c, 16).ok());
    let number = number.with_context(|| {
        format!("colors: '{}' is not a name and a code like #ff8800", text.trim())
    })?;
    let [_, rgb @ ..] = number.to_be_bytes();
    Ok(rgb.map(|byte| byte as f32 / 127.5 - 1.0))
}
