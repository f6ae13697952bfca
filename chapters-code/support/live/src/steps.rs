//! Chapter 6: the walk of algorithm 2 with everything that a step is made of.

use std::path::Path;

use ch04_unet::model_dir::{self, VarianceType};
use ch06_sampling::{
    all_timesteps, clipped_x0, denoiser, noise_per_image, posterior_mean, sources, step_variance,
};
use serde::Deserialize;

use crate::sampling::{CATS, EVERY};
use crate::{files, frame, Frames};

/// x_t, eps, x0, the mean of the step back, and the fresh noise that it adds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneStep {
    seed: u64,
    noise: FreshNoise,
}

/// How much fresh noise a step adds.
#[derive(Clone, Copy, Deserialize)]
enum FreshNoise {
    #[serde(rename = "right")]
    Right,
    #[serde(rename = "none")]
    None,
    /// The mistake of chapter 6.
    #[serde(rename = "variance used as deviation")]
    Variance,
}

impl OneStep {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let device = crate::device();
        let model = model_dir::load_from(&*files(), &device, Path::new(CATS))?;
        let [channels, height, width] = model.image_shape(None)?;
        let shape = (1, channels, height, width);
        let denoise = denoiser(&device, &model.network);
        let (diffusion, clip) = (model.diffusion.clone(), model.scheduler.clip());
        let mut rngs = sources(self.seed, 0..1);
        let mut x_t = noise_per_image(&device, shape, &mut rngs);
        let timesteps = all_timesteps(&diffusion.schedule).into_iter();
        let frames = timesteps.map(move |t| {
            let schedule = &diffusion.schedule;
            let output = denoise(&x_t, t);
            let eps = diffusion.eps(&x_t, &[t], &output);
            let x0 = clipped_x0(&diffusion, clip, &x_t, t, &output);
            let mean = posterior_mean(schedule, &x_t, t, &x0);
            let variance = step_variance(schedule, VarianceType::FixedSmall, t);
            let deviation = match self.noise {
                FreshNoise::Right => variance.sqrt(),
                FreshNoise::None => 0.0,
                FreshNoise::Variance => variance,
            };
            let z = noise_per_image(&device, shape, &mut rngs);
            let (of_x0, of_x_t) = schedule.posterior_mean_coefficients(t);
            let next = mean.clone() + z.clone() * deviation as f32;
            let x_t = std::mem::replace(&mut x_t, next);
            (t % EVERY == 0).then(|| {
                let caption = format!(
                    "t = {t}: mean = {of_x0:.3} x0 + {of_x_t:.3} x_t, \
                    next = mean + {deviation:.3} z"
                );
                frame(&[&x_t, &eps, &x0, &mean, &z], 5, caption)
            })
        });
        Ok(Box::new(frames.flatten()))
    }
}
