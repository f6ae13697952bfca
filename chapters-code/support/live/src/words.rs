//! Chapter 8: which pixels read a word of the prompt.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, share_map, words};
use dfdx::prelude::*;
use ops::Images;
use serde::Deserialize;

use crate::sampling::CATS_TEXT;
use crate::{files, frame, Frames};

/// The clean cat that the network predicts, the share of a word at each pixel, and the cat, which
/// fades to white where the share is small.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    prompt: String,
    /// Which word, counted from 1.
    word: usize,
    seed: u64,
}

const STEPS: usize = 20;

impl Words {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let device = crate::device();
        let (model, file) = model::load_from(&*files(), &device, Path::new(CATS_TEXT))?;
        let condition = [file.read(&self.prompt)?];
        let said = words(&self.prompt);
        let Some(word) = self.word.checked_sub(1).and_then(|place| said.get(place)).cloned() else {
            anyhow::bail!("word {}: the prompt has words 1 to {}", self.word, said.len())
        };
        let place = self.word - 1;
        let [channels, height, width] =
            model.network.unet.config().input_shape().expect("the book's model says what it draws");
        let (solver, steps) = (Ddim::for_model(&model, 0.0), model.diffusion.schedule.len());
        let timesteps = TimestepSpacing::Trailing.timesteps(steps, STEPS.min(steps), 0);
        let mut rngs = sources(self.seed, 0..1);
        let noise = noise_per_image(&device, (1, channels, height, width), &mut rngs);
        let map = Rc::new(RefCell::new(Vec::new()));
        let newest = Rc::clone(&map);
        let denoise = move |x: &Images<Cpu>, t: usize| {
            let (output, looks) = model.network.forward_with_looks(x.clone(), &[t], &condition);
            *newest.borrow_mut() = share_map(&looks, place, [height, width]);
            output
        };
        let walk = walk(solver, noise, &timesteps, rngs, denoise);
        Ok(Box::new(walk.map(move |step| {
            let shares = spread(&map.borrow());
            let cat = step.x0.as_vec();
            let bright: Vec<f32> = shares.iter().map(|share| 2.0 * share - 1.0).collect();
            let lit =
                cat.iter().zip(shares.iter().cycle()).map(|(v, share)| 1.0 - share * (1.0 - v));
            let values = [cat.clone(), bright.repeat(channels), lit.collect()].concat();
            let images = ops::tensor(&crate::device(), values, (3, channels, height, width));
            frame(&[&images], 3, format!("t = {}: where '{word}' is read", step.t))
        })))
    }
}

/// The shares, stretched to run from 0 for the smallest to 1 for the largest.
fn spread(map: &[f32]) -> Vec<f32> {
    let (least, most) =
        map.iter().fold((f32::MAX, f32::MIN), |(least, most), &v| (least.min(v), most.max(v)));
    map.iter().map(|v| (v - least) / (most - least).max(1e-9)).collect()
}
