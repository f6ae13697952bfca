use std::ops::Range;

use ch01_tensors::Dataset;
use ch02_schedule::Schedule;
use ch03_forward::{standard_normal, PredictionType, Purpose};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};

use crate::l_simple;

/// The timesteps are split into this many equal ranges.
pub const BUCKETS: usize = 10;

/// The loss on images that the network has not seen, for early, middle and late
/// timesteps apart.
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

// ANCHOR: heldout
/// The loss of a network's answers on the first `count` images of a held-out dataset,
/// in each range of timesteps, over which the images are spread evenly. `seed` decides
/// the noise, so that two networks, or two moments of one, meet the same task: only
/// losses of one seed can be compared.
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
    let mut rng = Purpose::HeldOut.rng(seed, 0);
    let buckets = std::array::from_fn(|bucket| {
        let last = (bucket + 1) * schedule.len() / BUCKETS;
        let first = (bucket * schedule.len() / BUCKETS).min(last.saturating_sub(1));
        let timesteps = spread(first..last.max(first + 1), indices.len());
        let eps = standard_normal(device, *x0.shape(), &mut rng);
        l_simple::<D, NoneTape>(schedule, kind, &x0, &timesteps, &eps, &answer).as_vec()
            [0]
    });
    HeldoutLoss { buckets }
}

/// `count` timesteps, spread evenly over a range: if there are more than timesteps,
/// each comes equally often, or once more.
fn spread(range: Range<usize>, count: usize) -> Vec<usize> {
    (0..count).map(|i| range.start + i * range.len() / count).collect()
}
// ANCHOR_END: heldout

#[cfg(test)]
mod tests {
    #[test]
    fn no_timestep_weighs_more_than_another() {
        for (range, count) in [(0..100, 128), (300..400, 1000), (0..1, 7), (10..13, 3)]
        {
            let timesteps = super::spread(range.clone(), count);
            let times = |t| timesteps.iter().filter(|&&other| other == t).count();
            let counts: Vec<usize> = range.clone().map(times).collect();
            assert_eq!(counts.iter().sum::<usize>(), count);
            let (least, most) =
                (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{range:?} {count}: {counts:?}");
        }
        assert_eq!(super::spread(0..100, 4), [0, 25, 50, 75]);
    }
}
