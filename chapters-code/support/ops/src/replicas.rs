//! Parts of a batch, side by side.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use dfdx::prelude::*;

use crate::device::UNetDevice;
use crate::layers::Parameters;
use crate::memory::Images;
use crate::parallel::{MaybeSend, MaybeSync};
use crate::shapes::{RowCopy, Store};

/// Copies of a network that work on parts of a batch side by side, each with its own memory. Many
/// small kernels, each shared out among all threads, make the threads wait for one another again
/// and again; here they meet once, at the end.
///
/// On the processor there are at most as many replicas as threads; in a GPU build there is one.
#[derive(Debug)]
pub struct Replicas<D: UNetDevice, N> {
    workers: Vec<(D, N)>,
    /// Keeps the replicas from being used by two threads at the same time: each device serves only
    /// one.
    alone: PhantomData<Cell<()>>,
}

impl<D: UNetDevice, N> Drop for Replicas<D, N> {
    fn drop(&mut self) {
        // The first device is the caller's; the others were made here.
        for (device, network) in self.workers.drain(..).skip(1) {
            drop(network);
            device.retire();
        }
    }
}

/// Fewest images that are worth a part of their own.
const MIN_PART: usize = 8;

/// A batch of `count` images, cut where that pays: into two halves on the processor, whatever the
/// number of threads, so that this number affects nothing but the time; on a GPU the batch stays
/// whole.
fn parts<D: UNetDevice>(count: usize) -> Vec<Range<usize>> {
    let parts = D::BATCH_PARTS.min(count / MIN_PART).max(1);
    (0..parts).map(|part| part * count / parts..(part + 1) * count / parts).collect()
}

impl<D: UNetDevice, N: Parameters<D> + Clone> Replicas<D, N> {
    /// Copies of `network`, which is on `device`.
    pub fn new(device: &D, network: &N) -> Self {
        let devices = (0..D::BATCH_PARTS.min(device.workers())).map(|i| {
            if i == 0 {
                device.clone()
            } else {
                device.fork()
            }
        });
        let mut replicas = Self {
            workers: devices.map(|device| (device, network.clone())).collect(),
            alone: PhantomData,
        };
        replicas.follow(network);
        replicas
    }

    /// Brings the copies up to date with `network`, which has changed.
    pub fn follow(&mut self, network: &N) {
        for (i, (device, replica)) in self.workers.iter_mut().enumerate() {
            *replica = network.clone();
            if i > 0 {
                replica.parameters().iter_mut().for_each(|p| p.move_to(device));
            }
        }
    }

    /// Calls `work` for each part of a batch of `count` images, with a replica and the device that
    /// it is on. What `work` returns comes back in the order of the parts.
    pub fn run<R: MaybeSend>(
        &self,
        count: usize,
        work: impl Fn(&N, &D, Range<usize>) -> R + MaybeSync,
    ) -> Vec<R> {
        let parts = &parts::<D>(count);
        let workers = parts.len().min(self.workers.len()).min(self.workers[0].0.workers());
        let work = &work;
        let jobs = self.workers[..workers].iter().enumerate().map(|(i, (device, network))| {
            let mine = &parts[i * parts.len() / workers..(i + 1) * parts.len() / workers];
            move || mine.iter().map(|part| work(network, device, part.clone())).collect::<Vec<_>>()
        });
        D::side_by_side(jobs.collect()).into_iter().flatten().collect()
    }

    /// The answer to a batch of images, put together from answers to its parts; `answer` is told
    /// which images a part holds. If there is only one part, nothing is copied.
    ///
    /// # Panics
    /// If there are several parts and an answer is not contiguous.
    pub fn answer(
        &self,
        x: &Images<D>,
        answer: impl Fn(&N, Images<D>, Range<usize>) -> Images<D> + MaybeSync,
    ) -> Images<D> {
        let batch = x.shape().0;
        let mut answers = self.run(batch, |network, device, images| {
            let x = if images.len() == batch { x.clone() } else { part(device, x, images.clone()) };
            answer(network, x, images)
        });
        if answers.len() == 1 {
            return answers.remove(0);
        }
        concatenated(x.device(), &answers)
    }
}

/// The images of several batches as one batch, on `device`.
fn concatenated<D: UNetDevice>(device: &D, parts: &[Images<D>]) -> Images<D> {
    let batch = parts.iter().map(|part| part.shape().0).sum();
    let (_, channels, height, width) = *parts[0].shape();
    device.output((batch, channels, height, width), |mut all| {
        let mut start = 0;
        for part in parts {
            let copy = RowCopy::one(part.shape().num_elements(), 0, start);
            device.copy_rows(&copy, D::read(part), D::reborrow(&mut all), Store::Overwrite);
            start += copy.len;
        }
    })
}

/// Some images of a batch, on `device`.
///
/// # Panics
/// If `images` goes beyond the end of the batch.
pub fn part<D: UNetDevice>(device: &D, all: &Images<D>, images: Range<usize>) -> Images<D> {
    let (batch, channels, height, width) = *all.shape();
    assert!(images.end <= batch, "there are {batch} images, not {}", images.end);
    let image = channels * height * width;
    let copy = RowCopy::one(images.len() * image, images.start * image, 0);
    device.output((images.len(), channels, height, width), |some| {
        device.copy_rows(&copy, D::read(all), some, Store::Overwrite)
    })
}
