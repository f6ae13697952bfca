//! What becomes of the images if you take only a few steps and are not careful.

use ch06_sampling::{noise_per_image, program, sources, walk};
use ch07_ddim::{slerp, Ddim, TimestepSpacing};
use ops::{AutoDevice, Images};

/// Images in a row.
const COUNT: usize = 8;

fn main() -> anyhow::Result<()> {
    let device = cli::device(0)?;
    let (model, _) = program::open(&device, None)?;
    let [channels, height, width] = model.image_shape(None)?;
    let shape = (COUNT, channels, height, width);
    let noise = noise_per_image(&device, shape, &mut sources(5, 0..COUNT as u64));
    let draw = |x: Images<AutoDevice>, timesteps: &[usize]| {
        let denoise = |x: &Images<AutoDevice>, t: usize| {
            model.network.forward(x.clone(), &[t; COUNT])
        };
        walk(Ddim::for_model(&model, 0.0), x, timesteps, vec![], denoise).finish()
    };
    let right = TimestepSpacing::Trailing.timesteps(1000, 20, 0);

    // ANCHOR: mistakes
    // The network is told a first timestep with far less noise than is really there.
    let late: Vec<usize> = right.iter().map(|t| t / 4).collect();
    // The network is told the timestep at which the step ends, not the one at which it
    // begins.
    let off_by_one = {
        let denoise = |x: &Images<AutoDevice>, t: usize| {
            model.network.forward(x.clone(), &[t.saturating_sub(50); COUNT])
        };
        let ddim = Ddim::for_model(&model, 0.0);
        walk(ddim, noise.clone(), &right, vec![], denoise).finish()
    };
    // From noise to noise along a straight line and, correctly, along a circle.
    let (from, to) = (
        noise_per_image(&device, (1, channels, height, width), &mut sources(5, 0..1)),
        noise_per_image(&device, (1, channels, height, width), &mut sources(5, 3..4)),
    );
    let between = |way: &dyn Fn(f64) -> Images<AutoDevice>| {
        let values = (0..COUNT)
            .flat_map(|i| way(i as f64 / (COUNT - 1) as f64).as_vec())
            .collect();
        ops::tensor(&device, values, shape)
    };
    let line = between(&|u| from.clone() * (1.0 - u) as f32 + to.clone() * u as f32);
    let circle = between(&|u| slerp(&from, &to, u));
    // ANCHOR_END: mistakes

    let rows = [
        draw(noise.clone(), &right),
        draw(noise.clone(), &late),
        off_by_one,
        draw(circle, &right),
        draw(line, &right),
    ];
    Ok(figures::save_png("ddim_mistakes.png", &figures::image_rows(&rows, 5))?)
}
