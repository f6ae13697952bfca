use ch01_tensors::Dataset;
use ch02_schedule::Schedule;
use ch03_forward::{rng, standard_normal, PredictionType};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};

use crate::l_simple;

/// The timesteps are split into this many equal ranges.
pub const BUCKETS: usize = 10;

/// The loss on images that the network has not seen, for early, middle and late timesteps apart.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldoutLoss {
    /// One loss per range of timesteps, from little noise to much.
    pub buckets: [f32; BUCKETS],
}

impl HeldoutLoss {
    /// The mean over all timesteps.
    pub fn mean(&self) -> f32 {
        self.buckets.iter().sum::<f32>() / BUCKETS as f32
    }
}

/// Two numbers are in the same bucket's noise only if `seed` is the same, so losses can be compared.
const STREAM: u64 = u64::MAX - 1;

// ANCHOR: heldout
/// The loss of a network's answers on the first `count` images of a held-out dataset, in each range of timesteps. `seed`
/// decides timesteps and noise, so that two networks, or two moments of one, meet the same task.
pub fn heldout_loss<D: UNetDevice>(
    device: &D,
    schedule: &Schedule,
    kind: PredictionType,
    dataset: &dyn Dataset,
    count: usize,
    seed: u64,
    answer: impl Fn(Images<D>, &[usize]) -> Images<D>,
) -> HeldoutLoss {
    let indices: Vec<usize> = (0..count.min(dataset.len())).collect();
    let x0 = ch01_tensors::batch(device, dataset, &indices);
    let mut rng = rng(seed, STREAM);
    let buckets = std::array::from_fn(|bucket| {
        let last = (bucket + 1) * schedule.len() / BUCKETS;
        let first = (bucket * schedule.len() / BUCKETS).min(last.saturating_sub(1));
        let width = (last - first).max(1);
        let timesteps: Vec<usize> =
            indices.iter().map(|i| first + i % width * (width / indices.len()).max(1) % width).collect();
        let eps = standard_normal(device, *x0.shape(), &mut rng);
        l_simple::<D, NoneTape>(schedule, kind, &x0, &timesteps, &eps, &answer).as_vec()[0]
    });
    HeldoutLoss { buckets }
}
// ANCHOR_END: heldout
