//! Which pixels look at which words, for two prompts made of the same words (but for "a" and "an").

use std::cell::RefCell;

use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, share_map, words};
use figures::{palette, RgbImage};
use ops::{AutoDevice, Images};

const PROMPTS: [&str; 2] = [
    "a blue cat with orange eyes on a pink background",
    "an orange cat with blue eyes on a pink background",
];
/// The words that are shown, by their places in the prompt.
const SHOWN: [usize; 5] = [1, 2, 4, 5, 8];
const SIZE: usize = 16;
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
        let condition = [file.read(prompt)?];
        // ANCHOR: bindings
        // For each word shown, its share at each pixel, summed over the walk.
        let sums = RefCell::new(vec![vec![0.0; SIZE * SIZE]; SHOWN.len()]);
        let denoise = |x: &Images<AutoDevice>, t: usize| {
            let (output, looks) =
                model.network.forward_with_looks(x.clone(), &[t], &condition);
            for (sum, place) in sums.borrow_mut().iter_mut().zip(SHOWN) {
                let map = share_map(&looks, place, [SIZE, SIZE]);
                sum.iter_mut().zip(map).for_each(|(sum, share)| *sum += share);
            }
            output
        };
        let mut rngs = sources(3, 0..1);
        let noise = noise_per_image(&device, (1, 3, SIZE, SIZE), &mut rngs);
        let ddim = Ddim::for_model(&model, 0.0);
        let cat = walk(ddim, noise, &timesteps, rngs, denoise).finish();
        // ANCHOR_END: bindings
        let said = words(prompt);
        let mut row = vec![(figures::image_grid(&cat, 1, 1), vec!["drawn".into()])];
        let labels = SHOWN.map(|place| vec![said[place].clone()]);
        row.extend(sums.borrow().iter().map(|sum| heat(sum)).zip(labels));
        rows.push(row);
    }
    figures::labelled("bindings.svg", SCALE, &rows)?;
    cli::println!("wrote bindings.svg");
    Ok(())
}

/// A heat map: white where the share is smallest, blue where it is largest.
fn heat(map: &[f32]) -> RgbImage {
    let (least, most) = map
        .iter()
        .fold((f32::MAX, f32::MIN), |(least, most), &v| (least.min(v), most.max(v)));
    let (r, g, b) = palette::SIGNAL;
    RgbImage::from_fn(SIZE as u32, SIZE as u32, |x, y| {
        let at = y as usize * SIZE + x as usize;
        let share = (map[at] - least) / (most - least);
        let mix = |end: u8| (255.0 - share * (255.0 - end as f32)) as u8;
        [r, g, b].map(mix).into()
    })
}
