//! Batches in a random order that depends on nothing but the seed and the step.

use rand::seq::SliceRandom;

use crate::Purpose;

// ANCHOR: shuffle
/// Deals out the numbers `0..len` in random order, then shuffles again, and so on.
///
/// The batch at a step follows from the seed and the step alone, so training can stop
/// and continue anywhere.
#[derive(Clone, Debug)]
pub struct Shuffle {
    len: usize,
    seed: u64,
    epoch: u64,
    order: Vec<usize>,
}

impl Shuffle {
    /// An order of `len` images, determined by `seed`.
    ///
    /// # Panics
    /// If `len` is 0.
    pub fn new(len: usize, seed: u64) -> Self {
        assert!(len > 0, "there is nothing to shuffle");
        Self { len, seed, epoch: 0, order: order(len, seed, 0) }
    }

    /// The images of batch number `step`, counted from 0. A batch may run past the end
    /// of an epoch into the next.
    pub fn batch(&mut self, step: u64, batch_size: usize) -> Vec<usize> {
        let first = step * batch_size as u64;
        (first..first + batch_size as u64)
            .map(|position| {
                let epoch = position / self.len as u64;
                if epoch != self.epoch {
                    self.epoch = epoch;
                    self.order = order(self.len, self.seed, epoch);
                }
                self.order[(position % self.len as u64) as usize]
            })
            .collect()
    }
}

fn order(len: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.shuffle(&mut Purpose::Order.rng(seed, epoch));
    order
}
// ANCHOR_END: shuffle
