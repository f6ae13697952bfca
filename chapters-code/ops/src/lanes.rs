//! Parts of a batch, side by side.

use std::ops::Range;

use dfdx::prelude::*;

use crate::layers::{Parameters, Visitor};
use crate::UNetDevice;

/// May be sent to another thread; with the feature `cuda` anything, for dfdx's GPU stays with one thread.
#[cfg(not(feature = "cuda"))]
pub trait MaybeSend: Send {}
#[cfg(not(feature = "cuda"))]
impl<T: Send> MaybeSend for T {}
#[cfg(feature = "cuda")]
pub trait MaybeSend {}
#[cfg(feature = "cuda")]
impl<T> MaybeSend for T {}

/// May be seen by several threads; with the feature `cuda` anything.
#[cfg(not(feature = "cuda"))]
pub trait MaybeSync: Sync {}
#[cfg(not(feature = "cuda"))]
impl<T: Sync> MaybeSync for T {}
#[cfg(feature = "cuda")]
pub trait MaybeSync {}
#[cfg(feature = "cuda")]
impl<T> MaybeSync for T {}

/// Devices that work side by side, each with its own threads, its own memory and its own copy of a network. Many small kernels,
/// each shared out among all threads, make these wait for one another again and again; here they meet once, at the end.
///
/// On the processor there are at most as many as threads; in a build for a GPU there is one.
#[derive(Debug)]
pub struct Lanes<D> {
    devices: Vec<D>,
}

/// Other lanes, so that both can be at work at the same time.
impl<D: UNetDevice> Clone for Lanes<D> {
    fn clone(&self) -> Self {
        Self::new(&self.devices[0])
    }
}

/// Fewer images than so many are not worth a part of their own.
const FEW: usize = 8;

impl<D: UNetDevice> Lanes<D> {
    /// Lanes beside `device`, which is the first of them.
    pub fn new(device: &D) -> Self {
        Self { devices: vec![device.clone()] }
    }

    /// A batch of `count` images, cut into parts that pay: two halves on the processor, whatever the number of threads, so that
    /// this decides nothing but the time; the whole on a GPU.
    pub fn parts(_: &D, count: usize) -> Vec<Range<usize>> {
        let parts = D::PARTS.min(count / FEW).max(1);
        (0..parts).map(|part| part * count / parts..(part + 1) * count / parts).collect()
    }

    /// Calls `work` once for every part, with a copy of the network and the device that it is on. What it returns comes back in the
    /// order of the parts.
    pub fn run<N: Parameters<D> + Clone, P: Clone + MaybeSync, R: MaybeSend>(
        &mut self,
        network: &N,
        parts: Vec<P>,
        work: impl Fn(&mut N, &D, P) -> R + MaybeSync,
    ) -> Vec<R> {
        let (parts, lanes) = (&parts, self.devices[0].lanes().min(parts.len()));
        while self.devices.len() < lanes {
            let twin = self.devices[0].twin();
            self.devices.push(twin);
        }
        let work = &work;
        let lane = |(i, device): (usize, _)| {
            let mine = &parts[i * parts.len() / lanes..(i + 1) * parts.len() / lanes];
            move || {
                let mut network = network.clone();
                if i > 0 {
                    network.visit("", &mut Move(device));
                }
                mine.iter().map(|part| work(&mut network, device, part.clone())).collect::<Vec<_>>()
            }
        };
        let jobs = self.devices[..lanes].iter().enumerate().map(lane).collect();
        D::side_by_side(jobs).into_iter().flatten().collect()
    }
}

/// Puts a copy of each parameter on another device.
struct Move<'a, D>(&'a D);

impl<D: UNetDevice> Visitor<D> for Move<'_, D> {
    fn visit<S: Shape>(&mut self, _: &str, parameter: &mut Tensor<S, f32, D>) {
        let len = parameter.shape().num_elements();
        let mut copy = self.0.unfilled(*parameter.shape());
        self.0.copy_rows(1, len, D::read(parameter), [len, 0], D::write_new(&mut copy), [len, 0], false);
        *parameter = copy;
    }
}
