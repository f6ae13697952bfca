//! What a convolution reads: images, or a normalisation of images that is computed only there.

use dfdx::prelude::*;

use crate::functions::{group_norm_gradients, norm_shape};
use crate::{Images, NormShape, UNetDevice, Vector};

/// Images for a convolution to read, or their group normalisation with SiLU behind it. That, the
/// convolution computes, into memory that needs no zeros before, and its gradient is no entry among
/// the others: half the memory traffic of a block.
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
    let s = norm_shape(*x.shape(), gamma, beta, groups, eps, true);
    ConvInput { images: x, norm: Some(Norm { s, gamma: gamma.clone(), beta: beta.clone() }) }
}

impl<D: UNetDevice, T: Tape<f32, D>> ConvInput<D, T> {
    /// `(batch, channels, height, width)`
    pub fn shape(&self) -> (usize, usize, usize, usize) {
        *self.images.shape()
    }

    /// The images, computed now: for who is no convolution.
    pub fn images(self) -> Images<D, T> {
        match self.norm {
            Some(Norm { s, gamma, beta }) => {
                crate::group_norm(self.images, &gamma, &beta, s.groups, s.eps, s.silu)
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
    /// Computes what is to be computed.
    pub(crate) fn ready(self) -> ReadyInput<D> {
        let Self { images, norm } = self;
        let Some(Norm { s, gamma, beta }) = norm else {
            return ReadyInput { images, normalized: None };
        };
        let device = images.device().clone();
        let mut statistics = device.unfilled((s.batch * s.groups, 2));
        let mut values = device.unfilled(*images.shape());
        let x = D::read(&images);
        let found = D::write_new(&mut statistics);
        device.group_norm(&s, x, D::read(&gamma), D::read(&beta), found, D::write_new(&mut values));
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
    statistics: crate::Rows<D>,
    values: Images<D>,
}

impl<D: UNetDevice> ReadyInput<D> {
    pub fn read(&self) -> D::Read<'_> {
        match &self.normalized {
            Some(normalized) => D::read(&normalized.values),
            None => D::read(&self.images),
        }
    }

    /// The way back. `gradient` computes the gradient of what the convolution read: it adds it to
    /// the memory that it is given, or, if that is unfilled, which the second argument says, writes
    /// it there.
    pub fn backward(
        self,
        grads: &mut Gradients<f32, D>,
        gradient: impl FnOnce(D::Write<'_>, bool),
    ) -> Result<(), D::Err> {
        let Some(Normalized { norm: Norm { s, gamma, beta }, statistics, values }) =
            self.normalized
        else {
            gradient(D::write_buffer(grads.get_or_alloc_mut(&self.images)?), false);
            return Ok(());
        };
        drop(values); // the gradient, as long, may use the same memory
        let mut dy = self.images.device().unfilled(*self.images.shape());
        gradient(D::write_new(&mut dy), true);
        group_norm_gradients(&s, &self.images, &statistics, &gamma, &beta, D::read(&dy), grads)
    }
}
