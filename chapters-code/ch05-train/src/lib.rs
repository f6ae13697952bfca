//! Chapter 5: training.
//!
//! Take an image, noise it to a random timestep, ask the network what was added, and
//! nudge its weights towards the right answer. Repeat. Equation and algorithm numbers
//! are those of the DDPM paper (Ho et al. 2020).

mod checkpoint;
mod heldout;
mod objective;
mod optimizer;
#[cfg(feature = "program")]
pub mod session;
mod trainer;

pub use checkpoint::{CheckpointError, MAX_STEPS, TRAINING};
pub use heldout::{heldout_loss, HeldoutLoss, BUCKETS};
pub use objective::{
    bound_weight, l_simple, weighted_loss, LossWeighting, Objective, TimestepSampling,
};
pub use optimizer::{learning_rate, Ema, Flat, Optimizer, OptimizerConfig};
pub use trainer::{
    training_batch, Batch, StepReport, TrainConfig, TrainError, Trainer, MAX_BATCH,
};

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch05.md")]
struct Page;
