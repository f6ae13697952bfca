use std::ops::Range;

use ch01_tensors::Dataset;
use ch03_forward::{standard_normal, Diffusion, Purpose};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};

use crate::{weighted_loss, LossWeighting};

/// The timesteps are split into this many equal ranges.
pub const BUCKETS: usize = 10;

/// Held-out images that go through the network together.
const PIECE: usize = 16;

/// The loss on images that the network has not seen, separately for early, middle and
/// late timesteps.
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
/// The loss on the first `count` images of a held-out data set, separately for each
/// range of timesteps; the images' timesteps are spread evenly over the range.
/// `network` computes the output for the x_t of some of the images, given their
/// timesteps; its last argument says which images these are. Losses are comparable only
/// if the seeds, which fix the noise, and `weighting` agree.
pub fn heldout_loss<D: UNetDevice>(
    device: &D,
    diffusion: &Diffusion,
    weighting: LossWeighting,
    dataset: &dyn Dataset,
    count: usize,
    seed: u64,
    network: impl Fn(Images<D>, &[usize], Range<usize>) -> Images<D>,
) -> HeldoutLoss {
    let indices: Vec<usize> = (0..count.min(dataset.len())).collect();
    let x0 = ch01_tensors::batch(device, dataset, &indices);
    let mut rng = Purpose::HeldOut.rng(seed, 0);
    let total = diffusion.schedule.len();
    let buckets = std::array::from_fn(|bucket| {
        let last = (bucket + 1) * total / BUCKETS;
        let first = (bucket * total / BUCKETS).min(last.saturating_sub(1));
        let timesteps = spread(first..last.max(first + 1), indices.len());
        let eps = standard_normal(device, *x0.shape(), &mut rng);
        let network = |x_t, timesteps: &[usize]| in_pieces(&x_t, timesteps, &network);
        let loss = weighted_loss::<D, NoneTape>(
            diffusion, weighting, &x0, &timesteps, &eps, network,
        );
        loss.as_vec()[0]
    });
    HeldoutLoss { buckets }
}

/// The output of `network`, computed for at most [`PIECE`] images at a time, because
/// what the network keeps for each image is far larger than the image.
fn in_pieces<D: UNetDevice>(
    x_t: &Images<D>,
    timesteps: &[usize],
    network: impl Fn(Images<D>, &[usize], Range<usize>) -> Images<D>,
) -> Images<D> {
    let (device, count) = (x_t.device(), timesteps.len());
    let pieces = (0..count).step_by(PIECE).map(|first| first..count.min(first + PIECE));
    let outputs = pieces.flat_map(|images| {
        let x_t = ops::part(device, x_t, images.clone());
        network(x_t, &timesteps[images.clone()], images).as_vec()
    });
    ops::tensor(device, outputs.collect(), *x_t.shape())
}

/// `count` timesteps, spread evenly over a range. If the range has fewer, all of them
/// occur equally often, give or take one.
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
