//! The project of chapter 8: walks that are told, halfway, to draw something else.

use std::process::ExitCode;

use ch01_tensors::cats::attributes_of;
use ch06_sampling::{noise_per_image, sources};
use ch07_ddim::TimestepSpacing;
use ch08_conditioning::captions::Asked;
use ch08_conditioning::model;
use cli::Project;
use figures::Picture;
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
/// Timesteps down to which the first prompt holds.
const UNTIL: [usize; 9] = [1000, 700, 600, 500, 400, 300, 200, 100, 0];
/// How many cats to count, and how many of them to show.
const COUNT: usize = 24;
const SHOWN: usize = 3;
/// Points per pixel.
const SCALE: u32 = 4;

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
    let asked = Asked::read(THEN);
    let mut row = Vec::new();
    cli::println!("how many of {COUNT} cats are as the second prompt asks:");
    for until in UNTIL {
        let cats = change_of_mind(&model, &noise, &timesteps, [&first, &then], until);
        let values = cats.as_vec();
        let images: Vec<&[f32]> = values.chunks(values.len() / COUNT).collect();
        let follow = |attribute: usize| {
            let right = |image: &&&[f32]| {
                asked.right(&attributes_of(image))[attribute] == Some(true)
            };
            images.iter().filter(right).count()
        };
        let [fur, pattern, eyes, ears, background] = [0, 1, 2, 3, 4].map(follow);
        cli::println!(
            "until {until:>4}: ears {ears}, fur {fur}, pattern {pattern}, eyes {eyes}, \
            background {background}"
        );
        let picture = |values| Picture { values, channels: 3, height: 16, width: 16 };
        let shown: Vec<Picture> =
            images[..SHOWN].iter().map(|values| picture(values)).collect();
        row.push((figures::grid(&shown, 1, 1), vec![until.to_string()]));
    }
    figures::labelled("change_of_mind.svg", SCALE, &[row])?;
    cli::println!("wrote change_of_mind.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
