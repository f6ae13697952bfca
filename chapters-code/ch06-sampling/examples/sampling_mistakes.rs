//! The same noise, drawn as it should be, and in four ways in which it should not.

use ch06_sampling::{noise_per_image, posterior_mean, program, sources, Sampler};
use ops::AutoDevice;

type Images = ops::Images<AutoDevice>;

/// Images in a row.
const COUNT: usize = 6;

/// One step from x_t, given the network's answer for it and fresh noise.
type Step = fn(&Sampler, usize, &Images, &Images, &Images) -> Images;

fn right(s: &Sampler, t: usize, x: &Images, eps: &Images, noise: &Images) -> Images {
    s.p_sample(t, x, eps, noise)
}

// ANCHOR: mistakes
/// Adds noise after the last step as well.
fn noise_at_the_end(
    s: &Sampler,
    t: usize,
    x: &Images,
    eps: &Images,
    noise: &Images,
) -> Images {
    let next = s.p_sample(t, x, eps, noise);
    if t > 0 {
        next
    } else {
        next + noise.clone() * 0.3
    }
}

/// Adds no noise at all.
fn no_noise(s: &Sampler, t: usize, x: &Images, eps: &Images, _: &Images) -> Images {
    posterior_mean(s.schedule, t, &s.x0_prediction(t, x, eps), x)
}

/// Takes the variance for the deviation: far too little noise.
fn variance_for_deviation(
    s: &Sampler,
    t: usize,
    x: &Images,
    eps: &Images,
    noise: &Images,
) -> Images {
    no_noise(s, t, x, eps, noise)
        + noise.clone() * s.schedule.posterior_variance(t) as f32
}

/// Takes away all the noise that the network sees, in every step, and keeps nothing of
/// what is there.
fn no_patience(
    s: &Sampler,
    t: usize,
    x: &Images,
    eps: &Images,
    noise: &Images,
) -> Images {
    s.x0_prediction(t, x, eps)
        + noise.clone() * s.schedule.posterior_variance(t).sqrt() as f32
}
// ANCHOR_END: mistakes

fn main() -> anyhow::Result<()> {
    let device = cli::device(0)?;
    let (model, _) = program::open(&device, None)?;
    let [channels, height, width] = model.image_shape(None)?;
    let steps: [Step; 5] =
        [right, noise_at_the_end, no_noise, variance_for_deviation, no_patience];
    let sampler = Sampler::of(&model);
    let mut rows = Vec::new();
    for step in steps {
        let mut rngs = sources(3, 0..COUNT as u64);
        let mut x =
            noise_per_image(&device, (COUNT, channels, height, width), &mut rngs);
        for t in (0..sampler.schedule.len()).rev() {
            let eps = model.unet.forward(x.clone(), &[t; COUNT]);
            let noise =
                noise_per_image(&device, (COUNT, channels, height, width), &mut rngs);
            x = step(&sampler, t, &x, &eps, &noise);
        }
        rows.push(x);
    }
    Ok(figures::save_png("sampling_mistakes.png", &figures::image_rows(&rows, 6))?)
}
