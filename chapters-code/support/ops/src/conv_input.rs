//! What a convolution reads: images, or normalised images, whose normalisation the convolution
//! computes itself.

use dfdx::prelude::*;

use crate::device::UNetDevice;
use crate::memory::{Images, Rows, Vector};
use crate::norm::{self, group_norm};
use crate::shapes::{NormShape, Store};

/// Images for a convolution to read, or their group normalisation followed by SiLU. The convolution
/// computes the normalisation itself, and the gradient of the normalised images never enters the
/// gradient map; this halves the memory traffic of a block.
pub struct ConvInput<D: UNetDevice, T = NoneTape> {
    images: Images<D, T>,
    norm: Option<Norm<D>>,
}

struct Norm<D: UNetDevice> {
    s: NormShape,
    gamma: Vector<D>,
    beta: Vector<D>,
}

impl<D: UNetDevice, T> From<Images<D, T>> for ConvInput<D, T> {
    fn from(images: Images<D, T>) -> Self {
        Self { images, norm: None }
    }
}

/// [`crate::group_norm`] with SiLU, for a convolution to read.
///
/// # Panics
/// If `groups` does not divide the channels.
pub fn group_norm_for_conv<D: UNetDevice, T: Tape<f32, D>>(
    x: Images<D, T>,
    gamma: &Vector<D>,
    beta: &Vector<D>,
    groups: usize,
    eps: f32,
) -> ConvInput<D, T> {
    let s = norm::shape(*x.shape(), gamma, beta, groups, eps, true);
    ConvInput { images: x, norm: Some(Norm { s, gamma: gamma.clone(), beta: beta.clone() }) }
}

impl<D: UNetDevice, T: Tape<f32, D>> ConvInput<D, T> {
    /// `(batch, channels, height, width)`
    pub fn shape(&self) -> (usize, usize, usize, usize) {
        *self.images.shape()
    }

    /// Materialises the images, for consumers other than a convolution.
    pub fn images(self) -> Images<D, T> {
        match self.norm {
            Some(Norm { s, gamma, beta }) => {
                group_norm(self.images, &gamma, &beta, s.groups, s.eps, s.silu)
            }
            None => self.images,
        }
    }

    pub(crate) fn split_tape(self) -> (ConvInput<D>, T) {
        let (images, tape) = self.images.split_tape();
        (ConvInput { images, norm: self.norm }, tape)
    }
}

impl<D: UNetDevice> ConvInput<D> {
    /// Computes the normalisation, if there is one.
    pub(crate) fn ready(self) -> ReadyInput<D> {
        let Self { images, norm } = self;
        let Some(Norm { s, gamma, beta }) = norm else {
            return ReadyInput { images, normalized: None };
        };
        let (values, statistics) = norm::normalise(&s, &images, &gamma, &beta);
        ReadyInput {
            images,
            normalized: Some(Normalized { norm: Norm { s, gamma, beta }, statistics, values }),
        }
    }
}

/// A convolution's input in memory.
pub(crate) struct ReadyInput<D: UNetDevice> {
    pub images: Images<D>,
    normalized: Option<Normalized<D>>,
}

struct Normalized<D: UNetDevice> {
    norm: Norm<D>,
    statistics: Rows<D>,
    values: Images<D>,
}

impl<D: UNetDevice> ReadyInput<D> {
    pub fn read(&self) -> D::Read<'_> {
        match &self.normalized {
            Some(normalized) => D::read(&normalized.values),
            None => D::read(&self.images),
        }
    }

    /// The backward pass. `gradient` computes the gradient of what the convolution read, and stores
    /// it in the memory that it is given.
    pub fn backward(
        self,
        grads: &mut Gradients<f32, D>,
        gradient: impl FnOnce(D::Write<'_>, Store),
    ) -> Result<(), D::Err> {
        let Some(Normalized { norm: Norm { s, gamma, beta }, statistics, values }) =
            self.normalized
        else {
            gradient(D::write_buffer(grads.get_or_alloc_mut(&self.images)?), Store::Add);
            return Ok(());
        };
        drop(values); // the gradient has the same length and may use this memory
        let dy =
            self.images.device().output(*self.images.shape(), |dy| gradient(dy, Store::Overwrite));
        norm::gradients(&s, &self.images, &statistics, &gamma, &beta, D::read(&dy), grads)
    }
}
