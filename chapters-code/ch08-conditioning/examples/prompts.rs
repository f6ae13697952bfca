//! Eight prompts, and the first cat drawn for each of them.

use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::{model, Condition, Guidance};
use ops::AutoDevice;

/// Each is split into the two lines on which it is printed.
const PROMPTS: [[&str; 2]; 8] = [
    ["an orange cat", "with blue eyes"],
    ["a blue cat", "with orange eyes"],
    ["a striped grey cat", "with folded ears"],
    ["a patched black cat", "on a pink background"],
    ["a green cat on", "an orange background"],
    ["an orange cat on", "a green background"],
    ["a solid white cat", "with green eyes"],
    ["a striped blue cat", "on a pink background"],
];
const IN_A_ROW: usize = 4;
/// Points per pixel.
const SCALE: u32 = 9;

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let (model, file) = model::load(&device, &cli::shipped("cats-text"))?;
    let count = PROMPTS.len();
    let read = |lines: &[&str; 2]| file.read(&lines.join(" "));
    let guidance = Guidance {
        conditions: PROMPTS.iter().map(read).collect::<Result<_, _>>()?,
        negative: vec![Condition::Nothing; count],
        guidance_scale: 1.5,
    };
    let steps = model.diffusion.schedule.len();
    let timesteps = TimestepSpacing::Trailing.timesteps(steps, 50, 0);
    let mut rngs = sources(0, 0..count as u64);
    let noise = noise_per_image(&device, (count, 3, 16, 16), &mut rngs);
    let denoise = guidance.denoiser(&device, &model.network);
    let cats =
        walk(Ddim::for_model(&model, 1.0), noise, &timesteps, rngs, denoise).finish();

    let pictures = (0..count).map(|i| {
        let cat = ops::part(&device, &cats, i..i + 1);
        figures::image_grid(&cat, 1, 1)
    });
    let labels = PROMPTS.iter().map(|lines| lines.map(String::from).to_vec());
    let labelled: Vec<figures::Labelled> = pictures.zip(labels).collect();
    let rows: Vec<_> = labelled.chunks(IN_A_ROW).map(<[_]>::to_vec).collect();
    figures::labelled("prompts.svg", SCALE, &rows)?;
    cli::println!("wrote prompts.svg");
    Ok(())
}
