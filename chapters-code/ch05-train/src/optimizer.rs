//! From gradients to better weights: gradient clipping, AdamW, and a moving average of
//! the weights.

use ch04_unet::ConfigError;
use ops::layers::Parameters;
use ops::{AdamW, Gradient, UNetDevice, Vector};
use serde::{Deserialize, Serialize};

/// One number for each number in a network: a list of vectors, in the order in which
/// the network lists its parameters.
pub type Flat<D> = Vec<Vector<D>>;

/// A list of zeros for `model`.
pub(crate) fn zeros_like<D: UNetDevice>(model: &mut impl Parameters<D>) -> Flat<D> {
    let parameters = model.parameters().into_iter();
    parameters.map(|p| p.device().zeros_like(&(p.num_elements(),))).collect()
}

// ANCHOR: norm
/// The length of the gradient of the whole network, taken as one long vector.
pub(crate) fn gradient_norm<D: UNetDevice>(device: &D, gradient: &Gradient<D>) -> f64 {
    let mut sums = device.zeros_like(&(gradient.len(),));
    ops::sums_of_squares(device, gradient, &mut sums);
    sums.as_vec().iter().map(|&sum| sum as f64).sum::<f64>().sqrt()
}
// ANCHOR_END: norm

// ANCHOR: config
/// How the weights are moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    pub learning_rate: f64,
    /// Over this many steps the learning rate rises from 0 to its full value.
    pub warmup_steps: u64,
    /// Over this last part of `total_steps` the learning rate falls back to 0; 0 means
    /// that it never falls.
    #[serde(default)]
    pub cooldown: f64,
    #[serde(default)]
    pub total_steps: u64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    /// A longer gradient is scaled down to this length.
    pub max_gradient_norm: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        let (beta1, beta2, eps) = (0.9, 0.999, 1e-8);
        Self {
            learning_rate: 2e-3,
            warmup_steps: 100,
            cooldown: 0.0,
            total_steps: 0,
            beta1,
            beta2,
            eps,
            weight_decay: 0.01,
            max_gradient_norm: 1.0,
        }
    }
}

impl OptimizerConfig {
    /// Rejects numbers with which nothing would be learnt.
    ///
    /// # Errors
    /// The error names the field, its value and what is possible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let number = ConfigError::check_number;
        let (above_0, from_0) =
            ("it must be a number above 0", "it must be a number not below 0");
        let (to_1, below_1) = (
            "it must be a number from 0 to 1",
            "it must be a number not below 0, but below 1",
        );
        number("optimizer.learning_rate", self.learning_rate, above_0, |v| v > 0.0)?;
        number("optimizer.cooldown", self.cooldown, to_1, |v| {
            (0.0..=1.0).contains(&v)
        })?;
        for (field, beta) in
            [("optimizer.beta1", self.beta1), ("optimizer.beta2", self.beta2)]
        {
            number(field, beta, below_1, |v| (0.0..1.0).contains(&v))?;
        }
        number("optimizer.eps", self.eps, above_0, |v| v > 0.0)?;
        number("optimizer.weight_decay", self.weight_decay, from_0, |v| v >= 0.0)?;
        number("optimizer.max_gradient_norm", self.max_gradient_norm, above_0, |v| {
            v > 0.0
        })
    }
}

/// The learning rate of step number `step`, counted from 0.
pub fn learning_rate(config: &OptimizerConfig, step: u64) -> f64 {
    let risen = (step + 1) as f64 / config.warmup_steps.max(1) as f64;
    let left =
        config.total_steps.saturating_sub(step) as f64 / config.total_steps as f64;
    let not_fallen = if config.cooldown > 0.0 { left / config.cooldown } else { 1.0 };
    config.learning_rate * risen.min(not_fallen).min(1.0)
}
// ANCHOR_END: config

// ANCHOR: adamw
/// AdamW (Loshchilov & Hutter 2019, algorithm 2, with the pull towards 0 multiplied by
/// the learning rate, as in PyTorch): each weight has a step size of its own, computed
/// from a running mean `m` of its gradient and a running mean `v` of the gradient's
/// square.
#[derive(Clone, Debug)]
pub struct Optimizer<D: UNetDevice> {
    pub config: OptimizerConfig,
    pub m: Flat<D>,
    pub v: Flat<D>,
}

impl<D: UNetDevice> Optimizer<D> {
    /// An optimiser that has seen nothing yet.
    pub fn new(config: OptimizerConfig, model: &mut impl Parameters<D>) -> Self {
        Self { config, m: zeros_like(model), v: zeros_like(model) }
    }
}
// ANCHOR_END: adamw

impl<D: UNetDevice> Optimizer<D> {
    // ANCHOR: numbers
    /// The numbers that all weights share at step number `step`, for a gradient of this
    /// length.
    fn numbers(&self, step: u64, gradient_norm: f64) -> AdamW {
        let c = &self.config;
        let count = (step + 1) as f64;
        AdamW {
            learning_rate: learning_rate(c, step) as f32,
            beta1: c.beta1 as f32,
            beta2: c.beta2 as f32,
            eps: c.eps as f32,
            weight_decay: c.weight_decay as f32,
            bias_correction1: (1.0 - c.beta1.powf(count)) as f32,
            bias_correction2: (1.0 - c.beta2.powf(count)) as f32,
            gradient_scale: (c.max_gradient_norm / gradient_norm).min(1.0) as f32,
        }
    }
    // ANCHOR_END: numbers

    // ANCHOR: update
    /// Moves every weight once, against the gradient; `step` is counted from 0. Returns
    /// the length that the gradient had.
    ///
    /// # Panics
    /// If the gradient or the optimiser belongs to another model.
    pub fn update(
        &mut self,
        step: u64,
        model: &mut impl Parameters<D>,
        gradient: &Gradient<D>,
    ) -> f64 {
        let device = self.m.first().expect("a network has parameters").device().clone();
        let norm = gradient_norm(&device, gradient);
        let numbers = self.numbers(step, norm);
        let parameters = model.parameters();
        let lengths = [gradient.len(), self.m.len(), self.v.len()];
        assert_eq!(lengths, [parameters.len(); 3], "one of each per parameter");
        let moments = self.m.iter_mut().zip(&mut self.v);
        let all = parameters.into_iter().zip(gradient).zip(moments);
        for ((mut parameter, gradient), (m, v)) in all {
            parameter.adamw_step(&numbers, gradient, m, v);
        }
        norm
    }
    // ANCHOR_END: update
}

// ANCHOR: ema
/// A moving average of the weights: it forgets the jitter of single steps, and draws
/// better images.
#[derive(Clone, Debug)]
pub struct Ema<D: UNetDevice> {
    pub decay: f64,
    pub average: Flat<D>,
}

impl<D: UNetDevice> Ema<D> {
    /// An average that starts at the model's present weights.
    pub fn new(decay: f64, model: &mut impl Parameters<D>) -> Self {
        let mut ema = Self { decay, average: zeros_like(model) };
        ema.blend(0.0, model);
        ema
    }

    /// How much of the average is kept at step number `step`, counted from 0: little at
    /// first, when the weights are still changing a lot.
    pub fn decay_at(&self, step: u64) -> f64 {
        self.decay.min((1.0 + step as f64) / (10.0 + step as f64))
    }

    /// Takes in the model's weights after step number `step`.
    pub fn update(&mut self, step: u64, model: &mut impl Parameters<D>) {
        self.blend(self.decay_at(step), model);
    }
}
// ANCHOR_END: ema

impl<D: UNetDevice> Ema<D> {
    // ANCHOR: blend
    fn blend(&mut self, keep: f64, model: &mut impl Parameters<D>) {
        let parameters = model.parameters();
        assert_eq!(parameters.len(), self.average.len(), "one average per parameter");
        for (parameter, average) in parameters.iter().zip(&mut self.average) {
            parameter.blend_into(keep as f32, average);
        }
    }

    /// A copy of `model` with the averages as weights.
    pub fn apply<M: Parameters<D> + Clone>(&self, model: &M) -> M {
        let mut copy = model.clone();
        set(&mut copy, &self.average);
        copy
    }
    // ANCHOR_END: blend
}

/// Sets the weights of `model`.
pub(crate) fn set<D: UNetDevice>(model: &mut impl Parameters<D>, values: &Flat<D>) {
    let parameters = model.parameters();
    assert_eq!(parameters.len(), values.len(), "one vector per parameter");
    for (mut parameter, values) in parameters.into_iter().zip(values) {
        parameter.copy_from(&values.as_vec());
    }
}
