//! What is drawn for a prompt that asks for two things in the same place.

use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, Condition, Guidance};
use ops::AutoDevice;

const PROMPTS: [&str; 4] = [
    "a black white cat",
    "a cat with green and blue eyes",
    "a striped solid cat",
    "an orange blue cat",
];
const COUNT: usize = 8;
/// Points per pixel.
const SCALE: u32 = 5;

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let (model, file) = model::load(&device, &cli::shipped("cats-text"))?;
    let timesteps =
        TimestepSpacing::Trailing.timesteps(model.diffusion.schedule.len(), 50, 0);
    let mut rows = Vec::new();
    for prompt in PROMPTS {
        let (conditions, negative) =
            (vec![file.read(prompt)?; COUNT], vec![Condition::Nothing; COUNT]);
        let guidance = Guidance { conditions, negative, guidance_scale: 1.5 };
        let denoise = guidance.denoiser(&device, &model.network);
        let mut rngs = sources(4, 0..COUNT as u64);
        let noise = noise_per_image(&device, (COUNT, 3, 16, 16), &mut rngs);
        let ddim = Ddim::for_model(&model, 0.0);
        let cats = walk(ddim, noise, &timesteps, rngs, denoise).finish();
        rows.push(vec![(
            figures::image_grid(&cats, COUNT, 1),
            vec![prompt.to_string()],
        )]);
    }
    figures::labelled("averages.svg", SCALE, &rows)?;
    cli::println!("wrote averages.svg");
    Ok(())
}
