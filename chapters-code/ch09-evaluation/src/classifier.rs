//! A small network that says what is in an image. Images are compared by its features.

use std::path::Path;

use ch01_tensors::cats::{Attributes, Background, Ears, Eyes, Fur, Pattern};
use ch01_tensors::{Dataset, Purpose, Shuffle, FIRST_WEIGHTS};
use ch04_unet::model_dir::{self, ModelError};
use ch04_unet::{ConfigError, MAX_SIDE};
use ch05_train::{Ema, Optimizer, OptimizerConfig};
use dfdx::losses::binary_cross_entropy_with_logits_loss;
use dfdx::prelude::*;
use files::Disk;
use ops::layers::{join, Conv2d, GroupNorm, Linear, Parameter, Parameters, Zeros};
use ops::params::{self, Outline};
use ops::{Conv2dOptions, Images, Rows, UNetDevice};
use rand::Rng;
use serde::{Deserialize, Serialize};

// ANCHOR: questions
/// What can be asked about the images of a data set: for each question, the possible
/// answers.
pub fn questions(dataset: &dyn Dataset) -> Vec<(&'static str, Vec<String>)> {
    fn all<T: Copy>(values: &[T], word: fn(T) -> &'static str) -> Vec<String> {
        values.iter().map(|&value| word(value).to_string()).collect()
    }
    if dataset.attributes(0).is_none() {
        return vec![("class", dataset.classes())];
    }
    vec![
        ("fur", all(Fur::ALL, Fur::word)),
        ("pattern", all(Pattern::ALL, Pattern::word)),
        ("eyes", all(Eyes::ALL, Eyes::word)),
        ("ears", all(Ears::ALL, Ears::word)),
        ("background", all(Background::ALL, Background::word)),
    ]
}

/// The right answers for one image, as numbers.
pub fn answers(dataset: &dyn Dataset, index: usize) -> Vec<usize> {
    match dataset.attributes(index) {
        Some(cat) => answers_of(&cat),
        None => vec![dataset.label(index)],
    }
}
// ANCHOR_END: questions

/// The right answers for a cat.
pub fn answers_of(cat: &Attributes) -> Vec<usize> {
    fn place<T: PartialEq>(all: &[T], value: T) -> usize {
        all.iter().position(|v| *v == value).expect("ALL holds every value")
    }
    vec![
        place(Fur::ALL, cat.fur),
        place(Pattern::ALL, cat.pattern),
        place(Eyes::ALL, cat.eyes),
        place(Ears::ALL, cat.ears),
        place(Background::ALL, cat.background),
    ]
}

/// How a classifier is built, and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    pub dataset: String,
    /// `[channels, height, width]`
    pub shape: [usize; 3],
    /// The number of possible answers to each question.
    pub questions: Vec<usize>,
    pub steps: u64,
    pub batch_size: usize,
    pub seed: u64,
    /// The share of held-out images with every question answered right; 0 until it has
    /// been measured.
    pub accuracy: f64,
}

/// More channels than any image has.
const MAX_IMAGE_CHANNELS: usize = 1024;
/// More questions than can be asked about an image, and more answers to each than any
/// data set has.
const MAX_QUESTIONS: usize = 1024;
const MAX_ANSWERS: usize = 65_536;

impl ClassifierConfig {
    /// Rejects what cannot be built, and sizes beyond all reason.
    ///
    /// # Errors
    /// The error names the field, its value and what is possible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let size = ConfigError::check_size;
        size("shape[0]", self.shape[0], 1..=MAX_IMAGE_CHANNELS)?;
        size("shape[1]", self.shape[1], 1..=MAX_SIDE)?;
        size("shape[2]", self.shape[2], 1..=MAX_SIDE)?;
        if !(1..=MAX_QUESTIONS).contains(&self.questions.len()) {
            let found = format!("a list of {}", self.questions.len());
            let need = format!("there must be 1 to {MAX_QUESTIONS}");
            return Err(ConfigError::new("questions", found, need));
        }
        self.questions
            .iter()
            .try_for_each(|&answers| size("questions", answers, 1..=MAX_ANSWERS))?;
        let need = "it must be a number from 0 to 1";
        ConfigError::check_number("accuracy", self.accuracy, need, |v| {
            (0.0..=1.0).contains(&v)
        })
    }

    /// Lists the names and shapes of the tensors in the [`Classifier`], without building it.
    ///
    /// # Errors
    /// If [`ClassifierConfig::check`] rejects the configuration.
    pub fn outline(&self) -> Result<Outline, ConfigError> {
        self.check()?;
        let mut outline = Outline::default();
        let mut channels = self.shape[0];
        for (i, (width, _)) in STAGES.iter().enumerate() {
            outline.conv(format_args!("stages.{i}.conv"), channels, *width, 3);
            outline.norm(format_args!("stages.{i}.norm"), *width);
            channels = *width;
        }
        outline.linear("answers", FEATURES, self.questions.iter().sum());
        Ok(outline)
    }
}

// ANCHOR: classifier
/// Four convolutions (two of which halve the image), an average over all pixels, and a
/// linear map to the answers.
#[derive(Clone, Debug)]
pub struct Classifier<D: UNetDevice> {
    pub config: ClassifierConfig,
    stages: Vec<(Conv2d<D>, GroupNorm<D>)>,
    answers: Linear<D>,
}

/// How many numbers describe an image in the last layer before the answers.
pub const FEATURES: usize = 64;
/// Channels and stride of each convolution.
const STAGES: [(usize, usize); 4] = [(32, 1), (64, 2), (64, 1), (FEATURES, 2)];

impl<D: UNetDevice> Classifier<D> {
    /// Random weights from the configuration's seed.
    pub fn new(device: &D, config: ClassifierConfig) -> Self {
        let mut rng = Purpose::Classifier.rng(config.seed, FIRST_WEIGHTS);
        Self::with_weights(device, config, &mut rng)
    }

    fn with_weights(device: &D, config: ClassifierConfig, rng: &mut impl Rng) -> Self {
        let mut stages = Vec::new();
        let mut channels = config.shape[0];
        for (width, stride) in STAGES {
            let conv = Conv2d::new(
                device,
                rng,
                channels,
                width,
                3,
                Conv2dOptions::padded(1).with_stride(stride),
            );
            stages.push((conv, GroupNorm::new(device, 8, width, 1e-5)));
            channels = width;
        }
        let answers = Linear::new(device, rng, FEATURES, config.questions.iter().sum());
        Self { config, stages, answers }
    }

    /// The features of images `(batch, channels, h, w)`: `(batch, FEATURES)`.
    pub fn features<T: Tape<f32, D>>(&self, mut x: Images<D, T>) -> Rows<D, T> {
        for (conv, norm) in &self.stages {
            x = norm.forward_silu(conv.forward(x)).images();
        }
        x.mean::<_, Axes2<2, 3>>()
    }

    /// A number for every possible answer to every question, `(batch, answers)`: above
    /// 0 means yes.
    pub fn forward<T: Tape<f32, D>>(&self, x: Images<D, T>) -> Rows<D, T> {
        self.answers.forward(self.features(x))
    }

    /// Its answer to every question about every image.
    pub fn answer(&self, x: Images<D>) -> Vec<Vec<usize>> {
        let scores = self.forward(x).as_vec();
        scores
            .chunks(self.config.questions.iter().sum())
            .map(|scores| self.best(scores))
            .collect()
    }

    fn best(&self, mut scores: &[f32]) -> Vec<usize> {
        let mut best = Vec::new();
        for &count in &self.config.questions {
            let (these, rest) = scores.split_at(count);
            best.push(
                (0..count)
                    .max_by(|&a, &b| these[a].total_cmp(&these[b]))
                    .expect("a question has answers"),
            );
            scores = rest;
        }
        best
    }

    /// 1 for the right answer to each question, 0 for the others.
    fn wanted(&self, device: &D, right: &[Vec<usize>]) -> Rows<D> {
        let total: usize = self.config.questions.iter().sum();
        let mut values = vec![0.0; right.len() * total];
        for (row, right) in values.chunks_mut(total).zip(right) {
            let mut first = 0;
            for (&answer, &count) in right.iter().zip(&self.config.questions) {
                row[first + answer] = 1.0;
                first += count;
            }
        }
        ops::tensor(device, values, (right.len(), total))
    }
}
// ANCHOR_END: classifier

impl<D: UNetDevice> Parameters<D> for Classifier<D> {
    fn list<'a>(&'a mut self, prefix: &str, all: &mut Vec<Parameter<'a, D>>) {
        for (i, (conv, norm)) in self.stages.iter_mut().enumerate() {
            conv.list(&join(prefix, format_args!("stages.{i}.conv")), all);
            norm.list(&join(prefix, format_args!("stages.{i}.norm")), all);
        }
        self.answers.list(&join(prefix, "answers"), all);
    }
}

// ANCHOR: train_classifier
/// Trains a classifier; `watch` hears of every step and its loss.
///
/// # Errors
/// If the device fails.
pub fn train_classifier<D: UNetDevice>(
    device: &D,
    config: ClassifierConfig,
    dataset: &dyn Dataset,
    mut watch: impl FnMut(u64, f32),
) -> Result<Classifier<D>, D::Err> {
    let (steps, seed) = (config.steps, config.seed);
    let mut shuffle = Shuffle::new(dataset.len(), seed);
    let mut classifier = Classifier::new(device, config);
    let mut optimizer = Optimizer::new(OptimizerConfig::default(), &mut classifier);
    let mut ema = Ema::new(0.999, &mut classifier);
    for step in 0..steps {
        let indices = shuffle.batch(step, classifier.config.batch_size);
        let x = ch01_tensors::batch(device, dataset, &indices);
        let x = shift_each(&x, &mut Purpose::Classifier.rng(seed, step));
        let right: Vec<Vec<usize>> =
            indices.iter().map(|&i| answers(dataset, i)).collect();
        let scores = classifier.forward(x.put_tape(OwnedTape::default()));
        let loss = binary_cross_entropy_with_logits_loss(
            scores,
            classifier.wanted(device, &right),
        );
        watch(step, loss.as_vec()[0]);
        let gradient = ops::gradient_of(&mut classifier, loss.try_backward()?)?;
        optimizer.update(step, &mut classifier, &gradient);
        ema.update(step, &mut classifier);
    }
    Ok(ema.apply(&classifier))
}

/// Moves every image by up to a pixel in each direction: what an image shows does not
/// depend on its exact position.
fn shift_each<D: UNetDevice>(images: &Images<D>, rng: &mut impl Rng) -> Images<D> {
    let shape = *images.shape();
    let (h, w) = (shape.2 as isize, shape.3 as isize);
    let values = images.as_vec();
    let mut shifted = Vec::with_capacity(values.len());
    for image in values.chunks(shape.1 * shape.2 * shape.3) {
        let (dy, dx) = (rng.gen_range(-1..=1), rng.gen_range(-1..=1));
        for plane in image.chunks(shape.2 * shape.3) {
            // At the edge, the outermost pixels are repeated.
            let at = |y: isize, x: isize| {
                plane
                    [((y + dy).clamp(0, h - 1) * w + (x + dx).clamp(0, w - 1)) as usize]
            };
            shifted.extend((0..h * w).map(|i| at(i / w, i % w)));
        }
    }
    ops::tensor(images.device(), shifted, shape)
}
// ANCHOR_END: train_classifier

/// How many images go through the classifier together.
const BATCH: usize = 256;

/// The share of images with every question answered right.
pub fn accuracy<D: UNetDevice>(
    device: &D,
    classifier: &Classifier<D>,
    dataset: &dyn Dataset,
) -> f64 {
    let all: Vec<usize> = (0..dataset.len()).collect();
    let mut right = 0;
    for indices in all.chunks(BATCH) {
        let found = classifier.answer(ch01_tensors::batch(device, dataset, indices));
        right += indices
            .iter()
            .zip(found)
            .filter(|(&i, found)| answers(dataset, i) == *found)
            .count();
    }
    right as f64 / all.len() as f64
}

/// The features of many images: a row of [`FEATURES`] numbers for each. The images are given as
/// values.
pub fn features_of<D: UNetDevice>(
    device: &D,
    classifier: &Classifier<D>,
    images: &[Vec<f32>],
) -> Vec<Vec<f64>> {
    let [channels, height, width] = classifier.config.shape;
    let mut rows = Vec::new();
    for batch in images.chunks(BATCH) {
        let x =
            ops::tensor(device, batch.concat(), (batch.len(), channels, height, width));
        let features = classifier.features(x).as_vec();
        rows.extend(
            features
                .chunks(FEATURES)
                .map(|row| row.iter().map(|&v| v as f64).collect()),
        );
    }
    rows
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "weights.safetensors";

/// Writes a classifier.
///
/// # Errors
/// If a file cannot be written.
pub fn save<D: UNetDevice>(
    directory: &Path,
    classifier: &mut Classifier<D>,
) -> Result<(), ModelError> {
    let bytes = params::to_safetensors(&params::to_host(classifier), &[]);
    files::write(directory.join(WEIGHTS), &bytes)?;
    model_dir::write_json(&directory.join(CONFIG), &classifier.config)
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// If a file is missing or damaged.
pub fn load<D: UNetDevice>(
    device: &D,
    directory: &Path,
) -> Result<Classifier<D>, ModelError> {
    let path = directory.join(CONFIG);
    let config: ClassifierConfig = model_dir::read_json(&Disk, &path)?;
    let outline =
        config.outline().map_err(|source| ModelError::Config { path, source })?;
    let path = directory.join(WEIGHTS);
    let tensors = model_dir::read_tensors(&Disk, &path)?;
    let wrong = |source| ModelError::Params { path: path.clone(), source };
    outline.check(&tensors).map_err(wrong)?;
    let mut classifier = Classifier::with_weights(device, config, &mut Zeros);
    params::from_host(&mut classifier, &tensors).map_err(wrong)?;
    Ok(classifier)
}
