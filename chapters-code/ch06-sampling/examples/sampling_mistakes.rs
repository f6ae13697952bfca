//! Images drawn from the same noise: once in the right way, and once in each of four wrong ways.

use ch02_schedule::Schedule;
use ch06_sampling::{
    all_timesteps, clipped_x0, denoiser, noise_per_image, posterior_mean, program,
    sources, walk, Ancestral, Denoiser, Outcome, Solver,
};
use ops::AutoDevice;

type Images = ops::Images<AutoDevice>;

/// Images in a row.
const COUNT: usize = 6;

/// The image to which a step from x_t leads, given t, the predicted x0 and fresh noise.
type Rule = fn(&Schedule, &Images, usize, &Images, &Images) -> Images;

/// Ancestral sampling by another rule.
struct Changed(Ancestral, Rule);

impl Solver<AutoDevice> for Changed {
    fn step(
        &mut self,
        x_t: &Images,
        t: usize,
        _prev: Option<usize>,
        denoise: &Denoiser<AutoDevice>,
        noise: &mut dyn FnMut() -> Images,
    ) -> Outcome<AutoDevice> {
        let Self(Ancestral { diffusion, clip, .. }, rule) = self;
        let x0 = clipped_x0(diffusion, *clip, x_t, t, &denoise(x_t, t));
        let next = rule(&diffusion.schedule, x_t, t, &x0, &noise());
        Outcome { x0, next }
    }
}

fn right(s: &Schedule, x_t: &Images, t: usize, x0: &Images, noise: &Images) -> Images {
    let deviation = s.posterior_variance(t).sqrt();
    posterior_mean(s, x_t, t, x0) + noise.clone() * deviation as f32
}

// ANCHOR: mistakes
/// Adds noise after the last step as well.
fn noise_last(s: &Schedule, x_t: &Images, t: usize, x0: &Images, z: &Images) -> Images {
    let next = right(s, x_t, t, x0, z);
    if t > 0 {
        next
    } else {
        next + z.clone() * 0.3
    }
}

/// Adds no noise at all.
fn no_noise(s: &Schedule, x_t: &Images, t: usize, x0: &Images, _: &Images) -> Images {
    posterior_mean(s, x_t, t, x0)
}

/// Takes the variance for the deviation: far too little noise.
fn too_little(s: &Schedule, x_t: &Images, t: usize, x0: &Images, z: &Images) -> Images {
    posterior_mean(s, x_t, t, x0) + z.clone() * s.posterior_variance(t) as f32
}

/// At every step, takes away all the noise that the network sees and keeps nothing of
/// x_t.
fn no_patience(s: &Schedule, _: &Images, t: usize, x0: &Images, z: &Images) -> Images {
    x0.clone() + z.clone() * s.posterior_variance(t).sqrt() as f32
}
// ANCHOR_END: mistakes

fn main() -> anyhow::Result<()> {
    let device = cli::device(0)?;
    let (model, _) = program::open(&device, None)?;
    let [channels, height, width] = model.image_shape(None)?;
    let rules: [Rule; 5] = [right, noise_last, no_noise, too_little, no_patience];
    let timesteps = all_timesteps(&model.diffusion.schedule);
    let denoise = denoiser(&device, &model.network);
    let rows = rules.map(|rule| {
        let mut rngs = sources(3, 0..COUNT as u64);
        let x = noise_per_image(&device, (COUNT, channels, height, width), &mut rngs);
        let solver = Changed(Ancestral::for_model(&model), rule);
        walk(solver, x, &timesteps, rngs, &denoise).finish()
    });
    Ok(figures::save_png("sampling_mistakes.png", &figures::image_rows(&rows, 6))?)
}
