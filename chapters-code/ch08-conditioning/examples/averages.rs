//! What is drawn for a prompt that asks, in one order and then in the other, for two things
//! in the same place.

use std::collections::BTreeMap;

use ch01_tensors::cats::{attributes_of, Attributes};
use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, Condition, Guidance};
use figures::Picture;
use ops::AutoDevice;

/// The prompts, with the attribute for which they ask twice.
const PROMPTS: [([&str; 2], Attribute); 4] = [
    (["a black white cat", "a white black cat"], |cat| cat.fur.word()),
    (["a cat with green and blue eyes", "a cat with blue and green eyes"], |cat| {
        cat.eyes.word()
    }),
    (["a striped solid cat", "a solid striped cat"], |cat| cat.pattern.word()),
    (["an orange blue cat", "a blue orange cat"], |cat| cat.fur.word()),
];
type Attribute = fn(&Attributes) -> &'static str;
/// How many cats to draw for each prompt, and how many of them to show.
const COUNT: usize = 24;
const SHOWN: usize = 4;
/// Points per pixel.
const SCALE: u32 = 5;

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let (model, file) = model::load(&device, &cli::shipped("cats-text"))?;
    let timesteps =
        TimestepSpacing::Trailing.timesteps(model.diffusion.schedule.len(), 20, 0);
    let draw = |prompt: &str| -> anyhow::Result<Vec<f32>> {
        let conditions = vec![file.read(prompt)?; COUNT];
        let negative = vec![Condition::Nothing; COUNT];
        let guidance = Guidance { conditions, negative, guidance_scale: 1.5 };
        let denoise = guidance.denoiser(&device, &model.network);
        let mut rngs = sources(4, 0..COUNT as u64);
        let noise = noise_per_image(&device, (COUNT, 3, 16, 16), &mut rngs);
        let ddim = Ddim::for_model(&model, 0.0);
        Ok(walk(ddim, noise, &timesteps, rngs, denoise).finish().as_vec())
    };
    let mut rows = Vec::new();
    for (prompts, attribute) in PROMPTS {
        let mut row = Vec::new();
        for prompt in prompts {
            let values = draw(prompt)?;
            let images: Vec<&[f32]> = values.chunks(values.len() / COUNT).collect();
            let mut counts = BTreeMap::new();
            for image in &images {
                *counts.entry(attribute(&attributes_of(image))).or_insert(0) += 1;
            }
            let counts: Vec<String> =
                counts.iter().map(|(word, count)| format!("{word} {count}")).collect();
            cli::println!("{prompt}: {}", counts.join(", "));
            let picture =
                |values| Picture { values, channels: 3, height: 16, width: 16 };
            let shown: Vec<Picture> =
                images[..SHOWN].iter().map(|values| picture(values)).collect();
            row.push((figures::grid(&shown, SHOWN, 1), vec![prompt.to_string()]));
        }
        rows.push(row);
    }
    figures::labelled("averages.svg", SCALE, &rows)?;
    cli::println!("wrote averages.svg");
    Ok(())
}
