//! Two wishes in place of one sentence (Liu et al. 2022): how many of the cats fulfil
//! both? Once for a kind of cat that training showed, and once for a kind that it left out.

use ch01_tensors::cats::{attributes_of, Fur, Pattern};
use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, Condition};
use ops::{AutoDevice, Images};

/// How many cats to draw in each of the two ways.
const COUNT: usize = 100;
/// The scale of each wish.
const SCALE: f32 = 1.5;

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let (model, file) = model::load(&device, &cli::shipped("cats-text"))?;
    let timesteps =
        TimestepSpacing::Trailing.timesteps(model.diffusion.schedule.len(), 20, 0);
    let ways: [(&[&str], Pattern); 4] = [
        (&["a striped grey cat"], Pattern::Striped),
        (&["a grey cat", "a striped cat"], Pattern::Striped),
        (&["a patched grey cat"], Pattern::Patched),
        (&["a grey cat", "a patched cat"], Pattern::Patched),
    ];
    for (wishes, pattern) in ways {
        let conditions: Vec<Condition> =
            wishes.iter().map(|prompt| file.read(prompt)).collect::<Result<_, _>>()?;
        let denoise = |x: &Images<AutoDevice>, t: usize| {
            let ask = |wish: &Condition| {
                model.network.forward(
                    x.clone(),
                    &[t; COUNT],
                    &vec![wish.clone(); COUNT],
                )
            };
            let uncond = ask(&Condition::Nothing);
            let towards = |sum, wish| sum + (ask(wish) - uncond.clone()) * SCALE;
            conditions.iter().fold(uncond.clone(), towards)
        };
        let mut rngs = sources(2, 0..COUNT as u64);
        let noise = noise_per_image(&device, (COUNT, 3, 16, 16), &mut rngs);
        let ddim = Ddim::for_model(&model, 0.0);
        let cats = walk(ddim, noise, &timesteps, rngs, denoise).finish().as_vec();
        let drawn = cats.chunks(cats.len() / COUNT).map(attributes_of);
        let right =
            drawn.filter(|cat| cat.fur == Fur::Grey && cat.pattern == pattern).count();
        let asked = wishes.join(" + ");
        cli::println!("{asked}: {right} of {COUNT} are {} and grey", pattern.word());
    }
    Ok(())
}
