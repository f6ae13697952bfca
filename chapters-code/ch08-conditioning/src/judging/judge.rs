//! What drawn images are judged by.

use std::path::Path;

use ch01_tensors::cats::{attributes_of, Attributes};
use ch01_tensors::Dataset;
use ch08_conditioning::captions::left_out;
use ch08_conditioning::evaluation::classifier::{self, Classifier};
use ch08_conditioning::evaluation::{frechet_distance, kernel_distance, nearest};
use ch08_conditioning::Condition;
use ops::AutoDevice;
use rayon::prelude::*;

use super::report::{Right, Row};
use super::subject::Told;
use super::BATCH;

/// What drawn images are judged by.
pub(super) struct Judge<'a> {
    pub(super) device: &'a AutoDevice,
    pub(super) classifier: &'a Classifier<AutoDevice>,
    /// Training images and their features.
    pub(super) compared: Vec<Vec<f32>>,
    pub(super) features: Vec<Vec<f64>>,
    pub(super) told: Vec<Told>,
    pub(super) heldout: &'a dyn Dataset,
}

impl Judge<'_> {
    pub(super) fn row(
        &self,
        sampler: &str,
        steps: Option<usize>,
        guidance_scale: Option<f64>,
        images_per_second: Option<f64>,
        images: &[Vec<f32>],
    ) -> Row {
        let features = classifier::features_of(self.device, self.classifier, images);
        let mut distances: Vec<f64> = nearest(images, &self.compared).into_iter().map(|n| n.1).collect();
        distances.sort_by(f64::total_cmp);
        Row {
            sampler: sampler.to_string(),
            steps,
            guidance_scale,
            images_per_second,
            frechet_distance: frechet_distance(&features, &self.features),
            kernel_distance: kernel_distance(&features, &self.features),
            nearest: distances[distances.len() / 2],
            right: self.right(images),
        }
    }

    /// How often images are what was asked for; nothing if nothing was.
    fn right(&self, images: &[Vec<f32>]) -> Option<Right> {
        match (&self.told[0].condition, self.told[0].asked) {
            (Condition::Label(_), _) => {
                let [channels, height, width] = self.classifier.config.shape;
                let mut right = 0;
                for (images, told) in images.chunks(BATCH).zip(self.told.chunks(BATCH)) {
                    let x = ops::tensor(self.device, images.concat(), (images.len(), channels, height, width));
                    let found = self.classifier.answer(x);
                    right += found.iter().zip(told).filter(|(f, t)| f[0] == self.heldout.label(t.like)).count();
                }
                Some(Right::Class(right as f64 / images.len() as f64))
            }
            (Condition::Words(_), Some(_)) => {
                let found: Vec<Attributes> = images.par_iter().map(|image| attributes_of(image)).collect();
                Some(self.cats(&found))
            }
            _ => None,
        }
    }

    fn cats(&self, found: &[Attributes]) -> Right {
        let asked = self.told.iter().map(|told| told.asked.expect("every prompt is about a cat"));
        let (mut each, mut all, mut count) = ([0; 5], [0; 2], [0; 2]);
        for (asked, found) in asked.zip(found) {
            let right = asked.right(found).map(|right| right != Some(false));
            for (sum, right) in each.iter_mut().zip(right) {
                *sum += right as usize;
            }
            let kind = left_out(&asked) as usize;
            count[kind] += 1;
            all[kind] += right.iter().all(|&right| right) as usize;
        }
        let share = |part: usize, of: usize| part as f64 / of as f64;
        let [fur, pattern, eyes, ears, background] = each.map(|sum| share(sum, found.len()));
        let (seen, unseen) = (share(all[0], count[0]), share(all[1], count[1]));
        Right::Cats { seen, unseen, unseen_count: count[1], fur, pattern, eyes, ears, background }
    }

    /// Some drawn images, and below each the training image that is nearest.
    pub(super) fn pairs(&self, path: &Path, images: &[Vec<f32>]) -> anyhow::Result<()> {
        let [channels, height, width] = self.classifier.config.shape;
        let shown = &images[..images.len().min(12)];
        let below = nearest(shown, &self.compared).into_iter().map(|(number, _)| self.compared[number].clone());
        let values: Vec<f32> = shown.iter().cloned().chain(below).flatten().collect();
        let images = ops::tensor(self.device, values, (2 * shown.len(), channels, height, width));
        Ok(figures::save_png(path, &figures::image_grid(&images, shown.len(), (128 / width).clamp(1, 8)))?)
    }
}
