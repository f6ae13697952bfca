//! Eight digits of each class, from the digit model that comes with the book.

use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, Condition, Guidance};
use ops::AutoDevice;

/// Digits of each class.
const EACH: usize = 8;
const CLASSES: usize = 10;

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let (model, _) = model::load(&device, &cli::shipped("mnist-class"))?;
    // ANCHOR: digits
    let count = EACH * CLASSES;
    let guidance = Guidance {
        conditions: (0..count).map(|i| Condition::Label(i % CLASSES)).collect(),
        negative: vec![Condition::Nothing; count],
        guidance_scale: 1.0,
    };
    // ANCHOR_END: digits
    let steps = model.diffusion.schedule.len();
    let timesteps = TimestepSpacing::Trailing.timesteps(steps, 50, 0);
    let mut rngs = sources(0, 0..count as u64);
    let noise = noise_per_image(&device, (count, 1, 28, 28), &mut rngs);
    let denoise = guidance.denoiser(&device, &model.network);
    let digits =
        walk(Ddim::for_model(&model, 1.0), noise, &timesteps, rngs, denoise).finish();
    figures::save_png("digits.png", &figures::image_grid(&digits, CLASSES, 2))?;
    cli::println!("wrote digits.png");
    Ok(())
}
