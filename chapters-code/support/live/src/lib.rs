//! Used by the book's pages, in the browser, and by tests. The chapters' own code draws the
//! interactive figures.
//!
//! A page sends JSON: which figure it has and where its sliders are, `{"figure": "noising", "t":
//! 300, …}`. [`frames`] draws the figure's pictures one by one, as they are asked for. `browser` is
//! the interface to WebAssembly. The scripts on its other side (`page/`) know nothing about
//! diffusion.

mod bench;
mod board;
#[cfg(target_arch = "wasm32")]
mod browser;
mod cat;
mod drawing;
mod lens;
mod noising;
mod paint;
mod plane;
mod plane_training;
mod race;
mod sampling;
mod steps;
mod training;
mod words;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use dfdx::prelude::*;
use figures::{Picture, RgbaImage};
use files::Memory;
use ops::Images;
use serde::Deserialize;

/// A picture and its caption.
#[derive(Clone, Debug)]
pub struct Frame {
    pub picture: RgbaImage,
    /// Images per row. The strip of thumbnails shows the first column; if this is 0, there is no
    /// strip.
    pub columns: usize,
    pub caption: String,
}

/// The files that the page holds for the figures.
static FILES: Mutex<Memory> = Mutex::new(Memory::new());

fn files() -> MutexGuard<'static, Memory> {
    // A thread that panics leaves the files intact.
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds a file for the figures to read; they read no others.
pub fn hold(path: impl Into<PathBuf>, bytes: Vec<u8>) {
    files().hold(path, bytes);
}

/// The figures, each with its settings.
#[derive(Deserialize)]
#[serde(tag = "figure", rename_all = "snake_case")]
enum Figure {
    Cat(cat::Cat),
    ScheduleBench(bench::ScheduleBench),
    Plane(plane::Plane),
    PlaneTraining(plane_training::PlaneTraining),
    Training(training::Training),
    Lens(lens::Lens),
    Noising(noising::Noising),
    Ancestral(sampling::Ancestral),
    OneStep(steps::OneStep),
    Race(race::Race),
    NoiseWalk(race::NoiseWalk),
    FewSteps(sampling::FewSteps),
    Prompt(sampling::Prompt),
    Guidance(sampling::Guided),
    Words(words::Words),
    Paint(paint::Paint),
}

/// The pictures of a figure, each drawn when it is asked for.
pub type Frames = Box<dyn Iterator<Item = Frame>>;

/// A figure with these settings (JSON).
///
/// # Errors
/// If there is no such figure, if a setting is missing, unknown or out of range, or if
/// a model cannot be read.
pub fn frames(settings: &str) -> anyhow::Result<Frames> {
    let figure: Figure = serde_json::from_str(settings).context("the settings of the figure")?;
    match figure {
        Figure::Cat(cat) => cat.frames(),
        Figure::ScheduleBench(bench) => bench.frames(),
        Figure::Plane(plane) => plane.frames(),
        Figure::PlaneTraining(training) => training.frames(),
        Figure::Training(training) => training.frames(),
        Figure::Lens(lens) => lens.frames(),
        Figure::Noising(noising) => noising.frames(),
        Figure::Ancestral(ancestral) => ancestral.frames(),
        Figure::OneStep(one_step) => one_step.frames(),
        Figure::Race(race) => race.frames(),
        Figure::NoiseWalk(noise_walk) => noise_walk.frames(),
        Figure::FewSteps(few_steps) => few_steps.frames(),
        Figure::Prompt(prompt) => prompt.frames(),
        Figure::Guidance(guided) => guided.frames(),
        Figure::Words(words) => words.frames(),
        Figure::Paint(paint) => paint.frames(),
    }
}

/// Always the processor, whatever the build selects for the chapters, and without a memory cache,
/// which would outlive the figure.
fn device() -> Cpu {
    Cpu::default()
}

/// All images of some batches, in rows of `columns`. They are not enlarged,
/// because the page enlarges them.
fn frame(batches: &[&Images<Cpu>], columns: usize, caption: String) -> Frame {
    let (_, channels, height, width) = *batches[0].shape();
    let values: Vec<f32> = batches.iter().flat_map(|images| images.as_vec()).collect();
    let images = values.chunks(channels * height * width);
    let pictures: Vec<_> =
        images.map(|values| Picture { values, channels, height, width }).collect();
    let picture = figures::rgba(figures::grid(&pictures, columns, 1));
    Frame { picture, columns, caption }
}
