//! The project of chapter 8: walks that are told to draw something else half-way.

use std::process::ExitCode;

use ch06_sampling::{noise_per_image, sources};
use ch07_ddim::TimestepSpacing;
use ch08_conditioning::model;
use cli::Project;
use ops::AutoDevice;

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

const FIRST: &str =
    "a solid black cat with orange eyes and folded ears on a pink background";
const THEN: &str =
    "a striped orange cat with green eyes and ears up on a blue background";
/// The timestep from which on, towards the noise, the first prompt holds.
const UNTIL: [usize; 8] = [1000, 800, 700, 600, 500, 400, 300, 0];
/// Cats above each other.
const COUNT: usize = 3;

fn draw(project: Project) -> anyhow::Result<()> {
    let change_of_mind =
        if project.mine { answers::change_of_mind } else { solutions::change_of_mind };
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let (model, file) = model::load(&device, &cli::shipped("cats-text"))?;
    let [first, then] = [file.read(FIRST)?, file.read(THEN)?];
    let timesteps =
        TimestepSpacing::Trailing.timesteps(model.diffusion.schedule.len(), 20, 0);
    let mut rngs = sources(0, 0..COUNT as u64);
    let noise = noise_per_image(&device, (COUNT, 3, 16, 16), &mut rngs);
    let row = UNTIL.map(|until| {
        let cats = change_of_mind(&model, &noise, &timesteps, [&first, &then], until);
        (figures::image_grid(&cats, 1, 4), vec![until.to_string()])
    });
    figures::labelled("change_of_mind.svg", &[row.into()])?;
    cli::println!("wrote change_of_mind.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
