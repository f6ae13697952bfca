//! Guidance done right, and three ways in which it goes wrong.

use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, Condition, Guidance};
use ops::{AutoDevice, Images};

/// Images in a row.
const COUNT: usize = 8;

fn main() -> anyhow::Result<()> {
    let device: AutoDevice = cli::device(0)?;
    let (model, file) = model::load(&device, &cli::shipped("cats-text"))?;
    let wanted =
        file.read("a solid black cat with orange eyes on a pink background")?;
    let timesteps =
        TimestepSpacing::Trailing.timesteps(model.diffusion.schedule.len(), 50, 0);
    let draw =
        |ddim: Ddim,
         denoise: &dyn Fn(&Images<AutoDevice>, usize) -> Images<AutoDevice>| {
            let mut rngs = sources(2, 0..COUNT as u64);
            let x = noise_per_image(&device, (COUNT, 3, 16, 16), &mut rngs);
            walk(ddim, x, &timesteps, rngs, denoise).finish()
        };
    let guidance = |guidance_scale| Guidance {
        conditions: vec![wanted.clone(); COUNT],
        negative: vec![Condition::Nothing; COUNT],
        guidance_scale,
    };
    let (right, usual) = (guidance(1.5), Ddim::for_model(&model, 0.0));

    // ANCHOR: mistakes
    // The wrong sign: away from what was asked for.
    let wrong_sign = |x: &Images<AutoDevice>, t: usize| {
        let ask = |conditions: &[Condition]| {
            model.network.forward(x.clone(), &[t; COUNT], conditions)
        };
        let (cond, uncond) = (ask(&right.conditions), ask(&right.negative));
        uncond.clone() - (cond - uncond) * 1.5
    };
    // Far too much guidance, with nothing to make up for what clipping takes from the
    // predicted image.
    let too_strong = guidance(12.0);
    let torn = Ddim { use_clipped_model_output: false, ..usual.clone() };
    // An empty prompt where there should be none at all: even an empty sentence tells
    // the network something.
    let silence =
        Guidance { negative: vec![Condition::Words(vec![]); COUNT], ..right.clone() };
    // ANCHOR_END: mistakes

    let rows = [
        draw(usual.clone(), &|x, t| right.answer(&model.network, x, t)),
        draw(usual.clone(), &wrong_sign),
        draw(torn, &|x, t| too_strong.answer(&model.network, x, t)),
        draw(usual, &|x, t| silence.answer(&model.network, x, t)),
    ];
    Ok(figures::save_png("guidance_mistakes.png", &figures::image_rows(&rows, 5))?)
}
