//! The project of chapter 6: walks that part on the way. When is the cat decided?

use std::process::ExitCode;

use ch04_unet::model_dir;
use cli::Project;
use ops::{AutoDevice, Images};

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

/// Where the walks part, and how many they are.
const TIMESTEPS: [usize; 5] = [990, 900, 800, 700, 500];
const BRANCHES: u64 = 8;

fn draw(project: Project) -> anyhow::Result<()> {
    let branches = if project.mine { answers::branches } else { solutions::branches };
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let model = model_dir::load(&device, &cli::shipped("cats"))?;
    let rows: Vec<Images<AutoDevice>> =
        TIMESTEPS.map(|t| branches(&device, &model, t, BRANCHES)).into();
    figures::save_png("branches.png", &figures::image_rows(&rows, 5))?;
    cli::println!("wrote branches.png");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
