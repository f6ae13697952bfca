//! Chapter 1: a cat of the reader's choice, and the numbers of one of its pixels.

use anyhow::Context;
use ch01_tensors::cats::{self, Attributes, Background, Ears, Eyes, Fur, Pattern, Pose};
use figures::Picture;
use serde::Deserialize;

use crate::drawing::Drawing;
use crate::{Frame, Frames};

/// A cat, and its red, green and blue planes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cat {
    fur: String,
    pattern: String,
    eyes: String,
    ears: String,
    background: String,
    /// The tilt of the head, in hundredths of a radian.
    tilt: f32,
    size: f32,
    /// The place of the pixel whose numbers are printed.
    column: usize,
    row: usize,
}

/// Side of a pixel, and distance from one picture to the next, in pixels of the figure.
const SCALE: usize = 7;
const STEP: usize = 113;

impl Cat {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let unknown = |what: &str, word: &str| format!("{what}: no cat has '{word}'");
        let attributes = Attributes {
            fur: Fur::named(&self.fur).with_context(|| unknown("fur", &self.fur))?,
            pattern: Pattern::named(&self.pattern)
                .with_context(|| unknown("pattern", &self.pattern))?,
            eyes: Eyes::named(&self.eyes).with_context(|| unknown("eyes", &self.eyes))?,
            ears: Ears::named(&self.ears).with_context(|| unknown("ears", &self.ears))?,
            background: Background::named(&self.background)
                .with_context(|| unknown("background", &self.background))?,
        };
        anyhow::ensure!(
            self.tilt.abs() <= 100.0 && (0.1..=2.0).contains(&self.size),
            "tilt = {}, size = {}: a cat is tilted by -100 to 100, and its size is from 0.1 to 2",
            self.tilt,
            self.size
        );
        let pose = Pose { tilt: self.tilt / 100.0, size: self.size, ..Pose::MIDDLE };
        let cat = cats::draw(&attributes, &pose);
        let (column, row) = (self.column, self.row);
        anyhow::ensure!(
            column < cats::SIZE && row < cats::SIZE,
            "column = {column}, row = {row}: a cat has columns and rows 0 to {}",
            cats::SIZE - 1
        );
        let pixels = cats::SIZE * cats::SIZE;
        let numbers = ["red", "green", "blue"].iter().enumerate().map(|(channel, color)| {
            let place = channel * pixels + row * cats::SIZE + column;
            format!("{color} is number {place}, {:.2}", cat[place])
        });
        let numbers: Vec<String> = numbers.collect();
        let caption = format!("row {row}, column {column}: {}", numbers.join("; "));
        // A plane on its own is grey: the same number for red, green and blue.
        let planes = cat.chunks(pixels).map(|plane| plane.repeat(3));
        let images: Vec<Vec<f32>> = std::iter::once(cat.clone()).chain(planes).collect();
        let picture =
            |values| Picture { values, channels: 3, height: cats::SIZE, width: cats::SIZE };
        let pictures: Vec<Picture> = images.iter().map(|image| picture(image)).collect();
        let grid = figures::grid(&pictures, pictures.len(), SCALE);
        let mut drawing = Drawing::new(grid.width(), grid.height());
        drawing.put(&grid, 0, 0);
        for i in 0..pictures.len() {
            drawing.frame((i * STEP + column * SCALE, row * SCALE), SCALE);
        }
        Ok(Box::new(std::iter::once(Frame { picture: drawing.finish(), columns: 0, caption })))
    }
}
