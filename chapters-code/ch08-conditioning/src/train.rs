//! Training with conditions.

use ch01_tensors::Dataset;
use ch05_train::{StepReport, TrainError, Trainer};
use ops::UNetDevice;
use rand::Rng;

use crate::captions::{forget, phrase, Asked};
use crate::condition::Condition;
use crate::network::{ConditionalUNet, ConditioningConfig};

// ANCHOR: condition_of
/// What is said about image number `index`: its label, or its caption. Cats are
/// described anew each time, and not always in full, so that any order and any part
/// of a caption will be understood.
pub fn condition_of(
    config: &ConditioningConfig,
    dataset: &dyn Dataset,
    index: usize,
    rng: &mut impl Rng,
) -> Condition {
    match config {
        ConditioningConfig::Class { .. } => Condition::Label(dataset.label(index)),
        ConditioningConfig::Text(text) => {
            let caption = match dataset.attributes(index) {
                Some(cat) => phrase(&forget(Asked::all(&cat), rng), rng),
                None => dataset.caption(index),
            };
            text.read_known(&caption)
        }
    }
}
// ANCHOR_END: condition_of

// ANCHOR: train_step
/// One step of training (Ho & Salimans 2022, algorithm 1): as in chapter 5, but the
/// network is told about each image or, with probability `dropout`, told nothing, so
/// that it also learns to do without.
///
/// # Errors
/// As [`Trainer::learn`].
pub fn train_step<D: UNetDevice>(
    trainer: &mut Trainer<D, ConditionalUNet<D>>,
    config: &ConditioningConfig,
    dropout: f64,
    dataset: &dyn Dataset,
) -> Result<StepReport, TrainError> {
    let (batch, mut rng) = trainer.next_batch(dataset);
    let told = |&index: &usize| {
        let condition = condition_of(config, dataset, index, &mut rng);
        if rng.gen_bool(dropout) {
            Condition::Nothing
        } else {
            condition
        }
    };
    let conditions: Vec<Condition> = batch.indices.iter().map(told).collect();
    trainer.learn(&batch, |network, x_t, timesteps, images| {
        network.forward(x_t, timesteps, &conditions[images])
    })
}
// ANCHOR_END: train_step
