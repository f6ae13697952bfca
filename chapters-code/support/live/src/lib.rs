//! Used by the pages of the book, in the browser, and by tests: the figures that the reader can
//! touch, drawn by the chapters' own code.
//!
//! A page says in JSON which figure it has and where its sliders stand, `{"figure": "noising", "t":
//! 300, …}`, and [`draw`] draws it, picture by picture. `browser` is the door to WebAssembly. What
//! stands on the other side of it (`page/`) knows nothing of diffusion.

#[cfg(target_arch = "wasm32")]
mod browser;
mod noising;
mod sampling;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use dfdx::prelude::*;
use figures::{Picture, RgbImage};
use files::Memory;
use ops::Images;
use serde::Deserialize;

/// A picture, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Frame {
    pub picture: RgbImage,
    pub caption: String,
}

/// The files that the page holds for the figures.
static FILES: Mutex<Memory> = Mutex::new(Memory::new());

fn files() -> MutexGuard<'static, Memory> {
    // A thread that panicked has left the files whole.
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds a file for the figures, which read no others.
pub fn hold(path: impl Into<PathBuf>, bytes: Vec<u8>) {
    files().hold(path, bytes);
}

/// The figures, each with its settings.
#[derive(Deserialize)]
#[serde(tag = "figure", rename_all = "snake_case")]
enum Figure {
    Noising(noising::Noising),
    Ancestral(sampling::Ancestral),
    FewSteps(sampling::FewSteps),
    Prompt(sampling::Prompt),
}

/// Draws a figure with the given settings (JSON), and shows every picture on the way.
///
/// # Errors
/// A sentence, if there is no such figure, a setting is missing, unknown or out of its range, or a
/// model cannot be read.
pub fn draw(settings: &str, show: &mut dyn FnMut(Frame)) -> anyhow::Result<()> {
    let figure: Figure = serde_json::from_str(settings).context("the settings of the figure")?;
    match figure {
        Figure::Noising(noising) => noising.draw(show),
        Figure::Ancestral(ancestral) => ancestral.draw(show),
        Figure::FewSteps(few_steps) => few_steps.draw(show),
        Figure::Prompt(prompt) => prompt.draw(show),
    }
}

/// Always the processor, whatever the build selects for the chapters; without a cache of memory,
/// which would outlive the figure.
fn device() -> Cpu {
    Cpu::default()
}

/// Screen pixels per pixel. The page makes them larger still; this decides how thin the gap between
/// pictures is.
const SCALE: usize = 4;

/// All images of some batches, in rows of `columns`.
fn frame(batches: &[&Images<Cpu>], columns: usize, caption: String) -> Frame {
    let (_, channels, height, width) = *batches[0].shape();
    let values: Vec<f32> = batches.iter().flat_map(|images| images.as_vec()).collect();
    let images = values.chunks(channels * height * width);
    let pictures: Vec<_> =
        images.map(|values| Picture { values, channels, height, width }).collect();
    Frame { picture: figures::grid(&pictures, columns, SCALE), caption }
}
