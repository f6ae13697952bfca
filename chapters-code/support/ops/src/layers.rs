//! Layers: the functions of this crate with their parameters.
//!
//! The shapes of the parameters are run-time values. dfdx's own walk over modules does not allow
//! such shapes outside dfdx, so [`Parameters`] replaces that walk: every layer lists its tensors
//! under the names that PyTorch gives them.

mod parameters;
mod zeros;

use dfdx::prelude::*;
use rand::Rng;

pub use self::parameters::{join, Parameter, Parameters};
pub use self::zeros::Zeros;
use crate::{Conv2dOptions, ConvInput, ConvWeight, Images, Rows, UNetDevice, Vector};

/// A parameter whose values are drawn uniformly between -bound and +bound.
fn uniform<D: UNetDevice, S: Shape>(
    device: &D,
    rng: &mut impl Rng,
    shape: S,
    bound: f32,
) -> Tensor<S, f32, D> {
    let values = (0..shape.num_elements()).map(|_| rng.gen_range(-bound..=bound)).collect();
    device.tensor_from_vec(values, shape)
}

/// PyTorch draws the weights and biases of its linear and convolution layers within the bounds
/// ±1/√fan_in.
fn bound(fan_in: usize) -> f32 {
    1.0 / (fan_in as f32).sqrt()
}

/// [`crate::conv2d`] with its weight and bias.
///
/// The form into which the device transforms the weight is kept while nothing is being learnt, and
/// dropped whenever the weight is listed, because the weight may change then.
#[derive(Clone, Debug)]
pub struct Conv2d<D: UNetDevice> {
    /// `(cout, cin, kernel, kernel)`
    weight: Images<D>,
    /// `(cout)`
    bias: Vector<D>,
    options: Conv2dOptions,
    memo: D::Memo,
}

impl<D: UNetDevice> Conv2d<D> {
    /// Random values like those with which PyTorch initialises a `Conv2d`.
    pub fn new(
        device: &D,
        rng: &mut impl Rng,
        cin: usize,
        cout: usize,
        kernel: usize,
        options: Conv2dOptions,
    ) -> Self {
        let bound = bound(cin * kernel * kernel);
        Self {
            weight: uniform(device, rng, (cout, cin, kernel, kernel), bound),
            bias: uniform(device, rng, (cout,), bound),
            options,
            memo: D::Memo::default(),
        }
    }

    fn weight(&self) -> ConvWeight<'_, D> {
        ConvWeight { values: &self.weight, memo: Some(&self.memo) }
    }

    /// `(batch, cin, h, w)` to `(batch, cout, ho, wo)`.
    pub fn forward<T: Tape<f32, D>>(&self, x: impl Into<ConvInput<D, T>>) -> Images<D, T> {
        crate::conv2d(x, self.weight(), Some(&self.bias), self.options)
    }

    /// [`Conv2d::forward`] with `channels (batch, cout)` added to every pixel.
    pub fn forward_plus_channels<T: Tape<f32, D> + Merge<T>>(
        &self,
        x: impl Into<ConvInput<D, T>>,
        channels: Rows<D, T>,
    ) -> Images<D, T> {
        crate::conv2d_plus_channels(x, self.weight(), Some(&self.bias), self.options, channels)
    }

    /// [`Conv2d::forward`] with `images (batch, cout, ho, wo)` added.
    pub fn forward_plus_images<T: Tape<f32, D> + Merge<T>>(
        &self,
        x: impl Into<ConvInput<D, T>>,
        images: Images<D, T>,
    ) -> Images<D, T> {
        crate::conv2d_plus_images(x, self.weight(), Some(&self.bias), self.options, images)
    }
}

/// [`crate::linear`] with its weight and bias; [`Linear::forward_pixels`] applies it at every pixel
/// of an image.
#[derive(Clone, Debug)]
pub struct Linear<D: UNetDevice> {
    /// `(out, inp)`
    pub weight: Rows<D>,
    /// `(out)`, if there is a bias; without one, zeros stay zeros.
    pub bias: Option<Vector<D>>,
}

impl<D: UNetDevice> Linear<D> {
    /// Random values like those with which PyTorch initialises a `Linear`.
    pub fn new(device: &D, rng: &mut impl Rng, inp: usize, out: usize) -> Self {
        let bound = bound(inp);
        Self {
            weight: uniform(device, rng, (out, inp), bound),
            bias: Some(uniform(device, rng, (out,), bound)),
        }
    }

    /// [`Linear::new`] without a bias.
    pub fn without_bias(device: &D, rng: &mut impl Rng, inp: usize, out: usize) -> Self {
        Self { weight: uniform(device, rng, (out, inp), bound(inp)), bias: None }
    }

    /// `(rows, inp)` to `(rows, out)`.
    pub fn forward<T: Tape<f32, D>>(&self, x: Rows<D, T>) -> Rows<D, T> {
        crate::linear(x, &self.weight, self.bias.as_ref())
    }

    /// `(batch, inp, h, w)` to `(batch, out, h, w)`.
    pub fn forward_pixels<T: Tape<f32, D>>(&self, x: Images<D, T>) -> Images<D, T> {
        crate::pointwise(x, &self.weight, self.bias.as_ref())
    }

    /// [`Linear::forward_pixels`] with `images (batch, out, h, w)` added.
    pub fn forward_pixels_plus_images<T: Tape<f32, D> + Merge<T>>(
        &self,
        x: Images<D, T>,
        images: Images<D, T>,
    ) -> Images<D, T> {
        crate::pointwise_plus_images(x, &self.weight, self.bias.as_ref(), images)
    }
}

/// [`crate::group_norm`] with its scale and shift.
#[derive(Clone, Debug)]
pub struct GroupNorm<D: UNetDevice> {
    /// The scale, `(channels)`.
    pub weight: Vector<D>,
    /// The shift, `(channels)`.
    pub bias: Vector<D>,
    pub groups: usize,
    pub eps: f32,
}

impl<D: UNetDevice> GroupNorm<D> {
    /// Scale 1 and shift 0.
    pub fn new(device: &D, groups: usize, channels: usize, eps: f32) -> Self {
        Self {
            weight: device.ones_like(&(channels,)),
            bias: device.zeros_like(&(channels,)),
            groups,
            eps,
        }
    }

    /// Normalises; the shape stays the same.
    pub fn forward<T: Tape<f32, D>>(&self, x: Images<D, T>) -> Images<D, T> {
        crate::group_norm(x, &self.weight, &self.bias, self.groups, self.eps, false)
    }

    /// Normalisation and SiLU, both of which are left to the convolution that reads the result.
    pub fn forward_silu<T: Tape<f32, D>>(&self, x: Images<D, T>) -> ConvInput<D, T> {
        crate::group_norm_for_conv(x, &self.weight, &self.bias, self.groups, self.eps)
    }
}

impl<D: UNetDevice> Parameters<D> for Conv2d<D> {
    fn list<'a>(&'a mut self, prefix: &str, all: &mut Vec<Parameter<'a, D>>) {
        self.memo = D::Memo::default();
        self.weight.list(&join(prefix, "weight"), all);
        self.bias.list(&join(prefix, "bias"), all);
    }
}
crate::parameters!(Linear { weight, bias });
crate::parameters!(GroupNorm { weight, bias });
