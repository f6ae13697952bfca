//! Algorithm 1, one step at a time.

use std::ops::Range;

use ch01_tensors::{flip_horizontally, Dataset, Purpose, Shuffle, FIRST_WEIGHTS};
use ch03_forward::{standard_normal, Diffusion};
use ch04_unet::model_dir::{Model, SchedulerConfig};
use ch04_unet::{ConfigError, UNet, UNetConfig};
use dfdx::prelude::*;
use ops::layers::Parameters;
use ops::{Gradient, Images, MaybeSync, Replicas, UNetDevice};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{weighted_loss, Ema, Objective, Optimizer, OptimizerConfig};

// ANCHOR: config
/// Everything that determines a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    pub unet: UNetConfig,
    pub scheduler: SchedulerConfig,
    #[serde(default)]
    pub objective: Objective,
    pub optimizer: OptimizerConfig,
    pub batch_size: usize,
    pub ema_decay: f64,
    /// Determines the initial weights, the order of images, the timesteps and the
    /// noise.
    pub seed: u64,
}
// ANCHOR_END: config

/// More images per step than any machine can hold.
pub const MAX_BATCH: usize = 65_536;

impl TrainConfig {
    /// Rejects what cannot be trained.
    ///
    /// # Errors
    /// The error names the field, its value and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.unet.check()?;
        self.scheduler.diffusion()?;
        self.optimizer.check()?;
        ConfigError::check_size("batch_size", self.batch_size, 1..=MAX_BATCH)?;
        let need = "it must be a number not below 0, but below 1";
        ConfigError::check_number("ema_decay", self.ema_decay, need, |v| {
            (0.0..1.0).contains(&v)
        })
    }

    /// The random numbers for the initial weights.
    pub fn first_weights(&self) -> ChaCha8Rng {
        Purpose::Training.rng(self.seed, FIRST_WEIGHTS)
    }
}

/// A training step that failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("the loss is {loss} at step {step}")]
    NotFinite { step: u64, loss: f32 },
    #[error("the device failed at step {step}: {problem}")]
    Device { step: u64, problem: String },
}

/// The outcome of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Counted from 0.
    pub step: u64,
    pub loss: f32,
    pub gradient_norm: f64,
    pub learning_rate: f64,
}

// ANCHOR: batch
/// What one step learns from.
#[derive(Clone, Debug)]
pub struct Batch<D: UNetDevice> {
    /// The images' numbers in their data set.
    pub indices: Vec<usize>,
    /// `(batch, channels, height, width)`
    pub x0: Images<D>,
    /// One per image.
    pub timesteps: Vec<usize>,
    /// Shaped like `x0`.
    pub eps: Images<D>,
}
// ANCHOR_END: batch

// ANCHOR: trainer
/// A network in training. `N` is the U-Net, or a network that has one inside.
#[derive(Debug)]
pub struct Trainer<D: UNetDevice, N = UNet<D>> {
    pub config: TrainConfig,
    pub network: N,
    pub optimizer: Optimizer<D>,
    pub ema: Ema<D>,
    /// Steps done.
    pub step: u64,
    pub diffusion: Diffusion,
    device: D,
    replicas: Replicas<D, N>,
    shuffle: Option<Shuffle>,
}
// ANCHOR_END: trainer

impl<D: UNetDevice> Trainer<D> {
    /// A U-Net with random weights.
    ///
    /// # Errors
    /// If the configuration cannot be built.
    pub fn new(device: &D, config: TrainConfig) -> Result<Self, ConfigError> {
        let unet = UNet::new(device, &config.unet, &mut config.first_weights())?;
        Self::with_network(device, config, unet)
    }

    // ANCHOR: train_step
    /// One step of algorithm 1. The seed and the step's number determine which images,
    /// timesteps and noise it uses.
    ///
    /// # Errors
    /// As [`Trainer::learn`].
    pub fn train_step(
        &mut self,
        dataset: &dyn Dataset,
    ) -> Result<StepReport, TrainError> {
        let (batch, _) = self.next_batch(dataset);
        self.learn(&batch, |unet, x_t, timesteps, _| unet.forward(x_t, timesteps))
    }
    // ANCHOR_END: train_step
}

impl<D: UNetDevice, N: Parameters<D> + Clone> Trainer<D, N> {
    /// Trains this network.
    ///
    /// # Errors
    /// If the configuration cannot be built.
    pub fn with_network(
        device: &D,
        config: TrainConfig,
        mut network: N,
    ) -> Result<Self, ConfigError> {
        let diffusion = config.scheduler.diffusion()?;
        let optimizer = Optimizer::new(config.optimizer.clone(), &mut network);
        let ema = Ema::new(config.ema_decay, &mut network);
        let replicas = Replicas::new(device, &network);
        Ok(Self {
            config,
            network,
            optimizer,
            ema,
            step: 0,
            diffusion,
            device: device.clone(),
            replicas,
            shuffle: None,
        })
    }

    // ANCHOR: next_batch
    /// The images, timesteps and noise of the next step, and the source of its random
    /// numbers, in case you need more.
    pub fn next_batch(&mut self, dataset: &dyn Dataset) -> (Batch<D>, ChaCha8Rng) {
        let (step, seed) = (self.step, self.config.seed);
        let shuffle =
            self.shuffle.get_or_insert_with(|| Shuffle::new(dataset.len(), seed));
        let indices = shuffle.batch(step, self.config.batch_size);
        let mut rng = Purpose::Training.rng(seed, step);

        let x0 = training_batch(&self.device, dataset, &indices, &mut rng);
        let total = self.diffusion.schedule.len();
        let sampling = self.config.objective.timesteps;
        let timesteps = sampling.draw(total, indices.len(), &mut rng);
        let eps = standard_normal(&self.device, *x0.shape(), &mut rng);
        (Batch { indices, x0, timesteps, eps }, rng)
    }
    // ANCHOR_END: next_batch

    // ANCHOR: gradient
    /// The loss on a batch and its gradient. The halves of the batch are computed
    /// separately, in parallel: the mean over all images is the mean of the halves'
    /// means, weighted by their sizes, and the same holds for the gradient.
    fn loss_and_gradient(
        &mut self,
        batch: &Batch<D>,
        forward: impl Fn(
                &N,
                Images<D, OwnedTape<f32, D>>,
                &[usize],
                Range<usize>,
            ) -> Images<D, OwnedTape<f32, D>>
            + MaybeSync,
    ) -> Result<(f32, Gradient<D>), String> {
        let (diffusion, weights) = (&self.diffusion, self.config.objective.weighting);
        let count = batch.timesteps.len();
        self.replicas.follow(&self.network);
        let halves = self.replicas.run(count, |network, device, images| {
            let [x0, eps] = [&batch.x0, &batch.eps]
                .map(|all| ops::part(device, all, images.clone()));
            let timesteps = &batch.timesteps[images.clone()];
            let share = images.len() as f32 / count as f32;
            let forward = |x_t, t: &[usize]| forward(network, x_t, t, images);
            let loss = weighted_loss(diffusion, weights, &x0, timesteps, &eps, forward);
            let loss = loss * share;
            let value = loss.as_vec()[0];
            let gradient = loss.try_backward().and_then(|gradients| {
                ops::gradient_of(&mut network.clone(), gradients)
            });
            gradient.map(|gradient| (value, gradient)).map_err(|e| e.to_string())
        });
        let halves = halves.into_iter().collect::<Result<Vec<_>, String>>()?;
        let (losses, gradients): (Vec<f32>, Vec<_>) = halves.into_iter().unzip();
        Ok((losses.iter().sum(), ops::sum_of_gradients(&self.device, gradients)))
    }
    // ANCHOR_END: gradient

    // ANCHOR: learn
    /// One step on this batch. `forward` computes the network's output for some images
    /// of the batch, given their x_t and timesteps; its last argument says which
    /// images.
    ///
    /// # Errors
    /// If the loss is not finite (the weights are then unchanged), or the device fails.
    pub fn learn(
        &mut self,
        batch: &Batch<D>,
        forward: impl Fn(
                &N,
                Images<D, OwnedTape<f32, D>>,
                &[usize],
                Range<usize>,
            ) -> Images<D, OwnedTape<f32, D>>
            + MaybeSync,
    ) -> Result<StepReport, TrainError> {
        let step = self.step;
        let (loss, gradient) = self
            .loss_and_gradient(batch, forward)
            .map_err(|problem| TrainError::Device { step, problem })?;
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { step, loss });
        }
        let gradient_norm = self.optimizer.update(step, &mut self.network, &gradient);
        self.ema.update(step, &mut self.network);
        self.step += 1;
        let learning_rate = crate::learning_rate(&self.optimizer.config, step);
        Ok(StepReport { step, loss, gradient_norm, learning_rate })
    }
    // ANCHOR_END: learn

    /// Plans a training run of `total_steps`. The learning rate falls over the last part of the
    /// run; `cooldown` is the share of the run that this part takes up, from 0 (the rate never
    /// falls) to 1.
    pub fn plan(&mut self, total_steps: u64, cooldown: f64) {
        self.optimizer.config =
            OptimizerConfig { total_steps, cooldown, ..self.optimizer.config.clone() };
        self.config.optimizer = self.optimizer.config.clone();
    }

    /// The model as it would be used: with averaged weights.
    pub fn model(&self) -> Model<N> {
        Model {
            network: self.averaged(),
            diffusion: self.diffusion.clone(),
            scheduler: self.config.scheduler.clone(),
            notes: Vec::new(),
        }
    }

    /// The network with averaged weights.
    pub fn averaged(&self) -> N {
        self.ema.apply(&self.network)
    }
}

// ANCHOR: training_batch
/// Images to learn from; if the data set allows mirroring, each is mirrored with
/// probability one half.
pub fn training_batch<D: UNetDevice>(
    device: &D,
    dataset: &dyn Dataset,
    indices: &[usize],
    rng: &mut impl Rng,
) -> Images<D> {
    let mut values = ch01_tensors::values(dataset, indices);
    let [channels, height, width] = dataset.shape();
    if dataset.may_flip() {
        for image in values.chunks_mut(channels * height * width) {
            if rng.gen() {
                flip_horizontally(image, width);
            }
        }
    }
    ops::tensor(device, values, (indices.len(), channels, height, width))
}
// ANCHOR_END: training_batch
