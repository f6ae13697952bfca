//! Group normalisation, alone or for a convolution that reads its result.

use dfdx::prelude::*;

use crate::device::UNetDevice;
use crate::memory::{Images, Rows, Vector};
use crate::shapes::NormShape;
use crate::tape::take_gradient;

/// Group normalisation (Wu & He 2018): each image's channels are split into `groups` groups; each
/// group is brought to mean 0 and variance 1 over its channels and pixels, then scaled by `gamma
/// (channels)` and shifted by `beta`. If `silu` is set, the activation follows in the same pass.
///
/// # Panics
/// If `groups` does not divide the channels.
pub fn group_norm<D: UNetDevice, T: Tape<f32, D>>(
    x: Images<D, T>,
    gamma: &Vector<D>,
    beta: &Vector<D>,
    groups: usize,
    eps: f32,
    silu: bool,
) -> Images<D, T> {
    let s = shape(*x.shape(), gamma, beta, groups, eps, silu);
    let (x, mut tape) = x.split_tape();
    let dev = x.device().clone();
    let (y, statistics) = normalise(&s, &x, gamma, beta);
    if T::OWNS_TAPE {
        let (ghost, gamma, beta) = (y.ghost(), gamma.clone(), beta.clone());
        tape.add_backward_op(move |grads| {
            let dy = take_gradient!(grads, ghost, dev);
            gradients(&s, &x, &statistics, &gamma, &beta, D::read_buffer(&dy), grads)
        });
    }
    y.put_tape(tape)
}

/// The sizes of a group normalisation.
pub(crate) fn shape<D: UNetDevice>(
    (batch, channels, h, w): (usize, usize, usize, usize),
    gamma: &Vector<D>,
    beta: &Vector<D>,
    groups: usize,
    eps: f32,
    silu: bool,
) -> NormShape {
    assert!(
        groups > 0 && channels % groups == 0,
        "group_norm: {groups} groups do not divide {channels} channels"
    );
    assert_eq!(gamma.shape().0, channels, "group_norm: one scale per channel");
    assert_eq!(beta.shape().0, channels, "group_norm: one shift per channel");
    NormShape { batch, channels, pixels: h * w, groups, eps, silu }
}

/// The normalised images, and the statistics `(batch · groups, 2)` that the backward pass needs.
pub(crate) fn normalise<D: UNetDevice>(
    s: &NormShape,
    x: &Images<D>,
    gamma: &Vector<D>,
    beta: &Vector<D>,
) -> (Images<D>, Rows<D>) {
    let (dev, gamma, beta) = (x.device(), D::read(gamma), D::read(beta));
    let mut y = None;
    let statistics = dev.output((s.batch * s.groups, 2), |statistics| {
        y = Some(
            dev.output(*x.shape(), |y| dev.group_norm(s, D::read(x), gamma, beta, statistics, y)),
        );
    });
    (y.expect("it was made while the statistics were"), statistics)
}

/// Adds the gradients of a group normalisation's input, scale and shift.
pub(crate) fn gradients<D: UNetDevice>(
    s: &NormShape,
    x: &Images<D>,
    statistics: &Rows<D>,
    gamma: &Vector<D>,
    beta: &Vector<D>,
    dy: D::Read<'_>,
    grads: &mut Gradients<f32, D>,
) -> Result<(), D::Err> {
    let dev = x.device();
    // Several gradients are written at once, so each is first taken out and later put back.
    let mut dx = take_gradient!(grads, *x, *dev);
    let mut dgamma = take_gradient!(grads, *gamma, *dev);
    let mut dbeta = take_gradient!(grads, *beta, *dev);
    dev.group_norm_backward(
        s,
        D::read(x),
        D::read(statistics),
        D::read(gamma),
        D::read(beta),
        dy,
        D::write_buffer(&mut dx),
        D::write_buffer(&mut dgamma),
        D::write_buffer(&mut dbeta),
    );
    *grads.get_or_alloc_mut(x)? = dx;
    *grads.get_or_alloc_mut(gamma)? = dgamma;
    *grads.get_or_alloc_mut(beta)? = dbeta;
    Ok(())
}
