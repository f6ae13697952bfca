//! Chapter 1: a cat of the reader's choice, and its numbers.

use anyhow::Context;
use ch01_tensors::cats::{self, Attributes, Background, Ears, Eyes, Fur, Pattern, Pose};
use serde::Deserialize;

use crate::{frame, Frames};

/// A cat, and its planes of red, green and blue.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cat {
    fur: String,
    pattern: String,
    eyes: String,
    ears: String,
    background: String,
    /// Of the head, in hundredths of a radian.
    tilt: f32,
    size: f32,
}

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
        let planes = cat.chunks(cats::SIZE * cats::SIZE);
        let numbers = planes.clone().map(|plane| plane.iter().sum::<f32>() / plane.len() as f32);
        let means: Vec<String> = numbers.map(|mean| format!("{mean:.2}")).collect();
        let caption =
            format!("{}; means of red, green and blue: {}", attributes.caption(), means.join(", "));
        // A plane on its own is grey: the same number for red, green and blue.
        let grey: Vec<f32> = planes.flat_map(|plane| plane.repeat(3)).collect();
        let shape = (4, 3, cats::SIZE, cats::SIZE);
        let images = ops::tensor(&crate::device(), [cat, grey].concat(), shape);
        Ok(Box::new(std::iter::once(frame(&[&images], 4, caption))))
    }
}
