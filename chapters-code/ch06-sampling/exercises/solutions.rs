//! One way to answer.

use ch02_schedule::Schedule;
use ch04_unet::model_dir::Model;
use ch04_unet::UNet;
use ch06_sampling::{
    all_timesteps, denoiser, noise_per_image, sources, walk, Ancestral,
};
use ops::{AutoDevice, Images};

// ANCHOR: solutions
/// By how much an error of 1 in the predicted noise moves the predicted clean image at
/// timestep `t`.
pub fn error_in_x0(schedule: &Schedule, t: usize) -> f64 {
    // The factor of eps in x0 = (x_t - √(1 - ᾱ) eps) / √ᾱ.
    ((1.0 - schedule.alpha_bar[t]) / schedule.alpha_bar[t]).sqrt()
}

/// The mean of a step back, straight from the predicted noise, without predicting the
/// clean image on the way (eq. 11 of the DDPM paper).
pub fn mean_from_eps(
    schedule: &Schedule,
    t: usize,
    x_t: &Images<AutoDevice>,
    eps: &Images<AutoDevice>,
) -> Images<AutoDevice> {
    let of_eps = schedule.betas[t] / (1.0 - schedule.alpha_bar[t]).sqrt();
    (x_t.clone() - eps.clone() * of_eps as f32) / schedule.alphas[t].sqrt() as f32
}

/// How many of the last steps, down to timestep 0, together add less than `share` of
/// the variance that all steps add.
pub fn quiet_end(schedule: &Schedule, share: f64) -> usize {
    let variances: Vec<f64> =
        (0..schedule.len()).map(|t| schedule.posterior_variance(t)).collect();
    let limit = share * variances.iter().sum::<f64>();
    let mut sum = 0.0;
    let still_quiet = |variance: &&f64| {
        sum += **variance;
        sum < limit
    };
    variances.iter().take_while(still_quiet).count()
}
// ANCHOR_END: solutions

// ANCHOR: project
/// The cats at the ends of `count` walks that branch at timestep `t`: all follow the
/// walk of image number `image` of seed 0 as far as x_t, and from there each continues
/// with noise of its own. The solver is `Ancestral::for_model(model)`.
pub fn branches(
    device: &AutoDevice,
    model: &Model<UNet<AutoDevice>>,
    image: u64,
    t: usize,
    count: u64,
) -> Images<AutoDevice> {
    let timesteps = all_timesteps(&model.diffusion.schedule);
    let (trunk, rest) = timesteps.split_at(timesteps.len() - 1 - t);

    let mut rngs = sources(0, image..image + 1);
    let x = noise_per_image(device, (1, 3, 16, 16), &mut rngs);
    let denoise = denoiser(device, &model.network);
    let solver = Ancestral::for_model(model);
    // A walk over all timesteps, but only its first steps are taken.
    let steps = walk(solver.clone(), x.clone(), &timesteps, rngs, &denoise);
    let x_t = steps.take(trunk.len()).last().map_or(x, |step| step.next);

    let shape = (count as usize, 3, 16, 16);
    let x_t = ops::tensor(device, x_t.as_vec().repeat(count as usize), shape);
    walk(solver, x_t, rest, sources(1, 0..count), &denoise).finish()
}
// ANCHOR_END: project
