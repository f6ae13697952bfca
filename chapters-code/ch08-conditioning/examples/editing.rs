//! A cat changed in two ways, and the files with which you can do the same.

use ch01_tensors::cats::{
    draw, Attributes, Background, Ears, Eyes, Fur, Pattern, Pose,
};
use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{from_image, model, Condition, Guidance, Inpaint};
use ops::{AutoDevice, Images};

/// Images in a row.
const COUNT: usize = 8;
const SIZE: usize = 16;
/// How many pixels wide each pixel of an image is in its file.
const SCALE: usize = 8;
/// The rows of the cat's eyes.
const EYES: std::ops::Range<usize> = 6..10;

fn main() -> anyhow::Result<()> {
    let device: AutoDevice = cli::device(0)?;
    let (model, file) = model::load(&device, &cli::shipped("cats-text"))?;
    let denoiser = |prompt: &str| -> anyhow::Result<_> {
        let (conditions, negative) =
            (vec![file.read(prompt)?; COUNT], vec![Condition::Nothing; COUNT]);
        Ok(Guidance { conditions, negative, guidance_scale: 1.5 }
            .denoiser(&device, &model.network))
    };
    let timesteps =
        TimestepSpacing::Trailing.timesteps(model.diffusion.schedule.len(), 50, 0);
    let rngs = || sources(0, 0..COUNT as u64);
    let images = |values: Vec<f32>| -> Images<AutoDevice> {
        ops::tensor(&device, values.repeat(COUNT), (COUNT, 3, SIZE, SIZE))
    };

    let attributes = Attributes {
        fur: Fur::Orange,
        pattern: Pattern::Striped,
        eyes: Eyes::Green,
        ears: Ears::Up,
        background: Background::Pink,
    };
    let cat = draw(&attributes, &Pose::MIDDLE);
    // 1 where the eyes are.
    let eyes = |pixel: usize| (EYES.contains(&(pixel / SIZE % SIZE))) as u8 as f32;
    let mask: Vec<f32> = (0..3 * SIZE * SIZE).map(eyes).collect();
    let (image, masked) = (images(cat.clone()), images(mask.clone()));

    let mut rows = vec![image.clone()];
    for strength in [0.3, 0.5, 0.7] {
        let white = denoiser("a white cat")?;
        let ddim = Ddim::for_model(&model, 0.0);
        let walk = from_image(ddim, image.clone(), strength, &timesteps, rngs(), white);
        rows.push(walk.finish());
    }
    let blue = denoiser("a cat with blue eyes")?;
    let ddim = Ddim::for_model(&model, 1.0);
    let inpaint = Inpaint { ddim, image, mask: masked, resamplings: 5 };
    let mut rngs = rngs();
    let noise = noise_per_image(&device, (COUNT, 3, SIZE, SIZE), &mut rngs);
    rows.push(walk(inpaint, noise, &timesteps, rngs, blue).finish());
    figures::save_png("editing.png", &figures::image_rows(&rows, 5))?;

    let mask = mask.iter().map(|m| 2.0 * m - 1.0).collect();
    for (name, values) in [("editing-cat.png", cat), ("editing-mask.png", mask)] {
        let picture = figures::Picture {
            values: &values,
            channels: 3,
            height: SIZE,
            width: SIZE,
        };
        figures::save_png(name, &figures::grid(&[picture], 1, SCALE))?;
    }
    Ok(())
}
