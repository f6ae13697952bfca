//! What drawn images are measured with.

use std::path::Path;

use ch01_tensors::cats::{self, Attributes, Reading};
use ch01_tensors::Dataset;
use ch08_conditioning::captions::{Asked, Unseen};
use ch08_conditioning::Condition;
use ch09_evaluation::classifier::{self, Classifier};
use ch09_evaluation::{
    chance_larger, frechet_distance, kernel_distance, nearest, quantile, share_above,
    share_within, Nearest,
};
use ops::AutoDevice;
use rayon::prelude::*;

use crate::report::{Measured, Measures, Unit};
use crate::target::Request;
use ch06_sampling::program::BATCH;

/// How many training images are used to measure the distances between features.
const REFERENCE_IMAGES: usize = 10_000;
/// A member of a crowd reaches as far as its k-th nearest neighbour, where k is this number.
pub(super) const NEIGHBOURS: usize = 3;
/// How many values of training images are kept in memory (256 MB): drawing a cat again
/// takes longer than comparing an image with it.
const KEPT: usize = 64 << 20;

/// What drawn images are measured with.
pub(super) struct Evaluator<'a> {
    device: &'a AutoDevice,
    classifier: &'a Classifier<AutoDevice>,
    train: &'a dyn Dataset,
    heldout: &'a dyn Dataset,
    /// The first training images.
    kept: Vec<Vec<f32>>,
    /// The features of the first `REFERENCE_IMAGES` of them.
    features: Vec<Vec<f64>>,
    /// The kinds of image that there are, and the share of each among all held-out
    /// images.
    kinds: Vec<Kinds>,
    /// How far each real image is from the nearest cat that can be drawn, if the images are cats.
    residuals: Vec<f64>,
}

/// How many held-out cats have their residuals compared with those of drawn ones.
const JUDGED: usize = 2_000;
/// The share of real cats whose residual is below the limit.
const MOST: f64 = 0.99;

/// The possible answers to a question about an image.
struct Kinds {
    question: &'static str,
    names: Vec<String>,
    shares: Vec<f64>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        device: &'a AutoDevice,
        classifier: &'a Classifier<AutoDevice>,
        train: &'a dyn Dataset,
        heldout: &'a dyn Dataset,
    ) -> Self {
        let size: usize = train.shape().iter().product();
        let kept =
            images(train, 0..train.len().min((KEPT / size).max(REFERENCE_IMAGES)));
        let compared = &kept[..kept.len().min(REFERENCE_IMAGES)];
        let features = classifier::features_of(device, classifier, compared);
        let real: Vec<Vec<usize>> = (0..heldout.len())
            .into_par_iter()
            .map(|i| classifier::answers(heldout, i))
            .collect();
        let kinds = classifier::questions(train).into_iter().enumerate().map(
            |(at, (question, names))| {
                let shares = shares(&real, at, names.len());
                Kinds { question, names, shares }
            },
        );
        let kinds = kinds.collect();
        let judged = match heldout.attributes(0) {
            Some(_) => readings(&images(heldout, 0..heldout.len().min(JUDGED))),
            None => Vec::new(),
        };
        let residuals = residuals(&judged);
        Self { device, classifier, train, heldout, kept, features, kinds, residuals }
    }

    /// Measures several crowds of images, one for each list of requests.
    pub(super) fn measure(
        &self,
        requests: &[Vec<Request>],
        drawn: &[Vec<Vec<f32>>],
    ) -> Vec<Measures> {
        // All crowds at once, so that images that are not kept are read only once.
        let nearest = self.nearest(&drawn.concat());
        let mut nearest = nearest.into_iter();
        let crowds = requests.iter().zip(drawn);
        crowds
            .map(|(requests, drawn)| {
                self.measure_one(requests, drawn, nearest.by_ref().take(drawn.len()))
            })
            .collect()
    }

    fn measure_one(
        &self,
        requests: &[Request],
        drawn: &[Vec<f32>],
        nearest: impl Iterator<Item = Nearest>,
    ) -> Measures {
        let features = classifier::features_of(self.device, self.classifier, drawn);
        let (differences, ratios): (Vec<f64>, Vec<f64>) =
            nearest.map(|found| (found.difference, found.ratio())).unzip();
        let number = |name: &str, digits, value| Measured {
            name: name.into(),
            unit: Unit::Number(digits),
            value: Some(value),
            real: None,
            of: None,
        };
        let share = |name: &str, value| Measured {
            name: name.into(),
            unit: Unit::Percent,
            value: Some(value),
            real: None,
            of: None,
        };
        // The smaller a crowd, the farther its members reach: compare crowds of the same size.
        let reference = &self.features[..self.features.len().min(features.len())];
        let mut columns = vec![
            number("Fréchet", 3, frechet_distance(&features, &self.features)),
            number("kernel", 4, kernel_distance(&features, &self.features)),
            share("precision", share_within(&features, reference, NEIGHBOURS)),
            share("recall", share_within(reference, &features, NEIGHBOURS)),
            number("nearest", 3, quantile(&differences, 0.5)),
            number("of second", 2, quantile(&ratios, 0.01)),
        ];
        let are_cats = self.train.attributes(0).is_some();
        let read = if are_cats { readings(drawn) } else { Vec::new() };
        let found = self.found(drawn, &read);
        if are_cats {
            let residuals = residuals(&read);
            let limit = quantile(&self.residuals, MOST);
            columns.extend([
                number("residual", 4, quantile(&residuals, 0.5)),
                share("beyond", share_above(&residuals, limit)),
                number("AUC", 3, chance_larger(&residuals, &self.residuals)),
            ]);
        }
        let mut lines: Vec<_> =
            self.kinds.iter().enumerate().map(|(at, k)| k.line(at, &found)).collect();
        match (&requests[0].condition, requests[0].asked) {
            (Condition::Label(_), _) => {
                let pairs = requests.iter().zip(&found);
                let right =
                    pairs.map(|(request, f)| f[0] == self.heldout.label(request.like));
                columns.push(percent("right", right));
            }
            (Condition::Words(_), Some(_)) => {
                let asked: Vec<Asked> =
                    requests.iter().filter_map(|request| request.asked).collect();
                let cats: Vec<Attributes> = read.iter().map(|r| r.attributes).collect();
                columns.extend(right_cats(&asked, &cats));
                lines.push(unseen_pairs(&asked, &cats));
            }
            _ => {}
        }
        Measures { columns, lines }
    }

    /// The answer to every question about every image: for cats, what is read from
    /// their pixels.
    fn found(&self, drawn: &[Vec<f32>], read: &[Reading]) -> Vec<Vec<usize>> {
        if !read.is_empty() {
            let answers = |r: &Reading| classifier::answers_of(&r.attributes);
            return read.iter().map(answers).collect();
        }
        let [channels, height, width] = self.classifier.config.shape;
        let answers = drawn.chunks(BATCH).flat_map(|images| {
            let shape = (images.len(), channels, height, width);
            self.classifier.answer(ops::tensor(self.device, images.concat(), shape))
        });
        answers.collect()
    }

    /// For each image, the nearest training image.
    fn nearest(&self, drawn: &[Vec<f32>]) -> Vec<Nearest> {
        let mut best = nearest(drawn, &self.kept);
        for first in (self.kept.len()..self.train.len()).step_by(REFERENCE_IMAGES) {
            let some = images(
                self.train,
                first..self.train.len().min(first + REFERENCE_IMAGES),
            );
            for (best, found) in best.iter_mut().zip(nearest(drawn, &some)) {
                *best = best.or(Nearest { number: first + found.number, ..found });
            }
        }
        best
    }

    /// Some drawn images and, below each, the training image nearest to it.
    pub(super) fn pairs(&self, path: &Path, drawn: &[Vec<f32>]) -> anyhow::Result<()> {
        let [channels, height, width] = self.classifier.config.shape;
        let shown = &drawn[..drawn.len().min(12)];
        let below =
            self.nearest(shown).into_iter().map(|found| self.train.image(found.number));
        let values: Vec<f32> = shown.iter().cloned().chain(below).flatten().collect();
        let images = ops::tensor(
            self.device,
            values,
            (2 * shown.len(), channels, height, width),
        );
        Ok(figures::save_png(
            path,
            &figures::image_grid(&images, shown.len(), (128 / width).clamp(1, 8)),
        )?)
    }
}

impl Kinds {
    /// How often each answer was found, where `at` is the number of the question.
    fn line(&self, at: usize, found: &[Vec<usize>]) -> (String, Vec<Measured>) {
        let found = shares(found, at, self.names.len());
        let measures = self.names.iter().zip(found).zip(&self.shares);
        let measures = measures.map(|((name, value), &real)| Measured {
            name: name.clone(),
            unit: Unit::Percent,
            value: Some(value),
            real: Some(real),
            of: None,
        });
        (self.question.to_string(), measures.collect())
    }
}

/// What is read from images of cats.
fn readings(images: &[Vec<f32>]) -> Vec<Reading> {
    images.par_iter().map(|image| cats::read(image)).collect()
}

fn residuals(read: &[Reading]) -> Vec<f64> {
    read.iter().map(|reading| reading.residual as f64).collect()
}

fn images(dataset: &dyn Dataset, numbers: std::ops::Range<usize>) -> Vec<Vec<f32>> {
    numbers.into_par_iter().map(|i| dataset.image(i)).collect()
}

/// The share of each of `count` answers to question number `at`.
fn shares(answers: &[Vec<usize>], at: usize, count: usize) -> Vec<f64> {
    let share = |answer| {
        answers.iter().filter(|a| a[at] == answer).count() as f64 / answers.len() as f64
    };
    (0..count).map(share).collect()
}

/// The share of `all` that is true.
fn percent(name: impl Into<String>, all: impl Iterator<Item = bool>) -> Measured {
    let (mut right, mut count) = (0, 0);
    for is_right in all {
        right += is_right as usize;
        count += 1;
    }
    let value = (count > 0).then(|| right as f64 / count as f64);
    Measured { name: name.into(), unit: Unit::Percent, value, real: None, of: None }
}

/// The shares of cats with everything right (among kinds that were seen in training, and among
/// kinds that were not), and of cats with each attribute right.
fn right_cats(asked: &[Asked], cats: &[Attributes]) -> Vec<Measured> {
    let pairs = || asked.iter().zip(cats);
    let all = |unseen: bool| {
        pairs()
            .filter(move |(a, _)| Unseen::of(a).is_empty() != unseen)
            .map(|(a, c)| a.is_right(c))
    };
    let mut measures =
        vec![percent("all right, seen", all(false)), percent("unseen", all(true))];
    let swappable = pairs().filter(|(asked, _)| asked.is_swappable());
    let bound = swappable.map(|(asked, cat)| {
        let [fur, _, eyes, _, background] = asked.right(cat);
        [fur, eyes, background].iter().all(|right| *right != Some(false))
    });
    measures.push(percent("colours bound", bound));
    for (at, name) in
        ["fur", "pattern", "eyes", "ears", "background"].into_iter().enumerate()
    {
        measures.push(percent(
            name,
            pairs().map(|(asked, cat)| asked.right(cat)[at] != Some(false)),
        ));
    }
    measures
}

/// The share of cats with everything right, for each pair of words that was left out of training.
fn unseen_pairs(asked: &[Asked], cats: &[Attributes]) -> (String, Vec<Measured>) {
    let measures = Unseen::ALL.map(|pair| {
        let of_pair = asked
            .iter()
            .zip(cats)
            .filter(|(asked, _)| Unseen::of(asked).contains(&pair));
        let right: Vec<bool> =
            of_pair.map(|(asked, cat)| asked.is_right(cat)).collect();
        let of = Some(right.len());
        Measured { of, ..percent(pair.words(), right.into_iter()) }
    });
    ("right, of the unseen pairs".into(), measures.into())
}
