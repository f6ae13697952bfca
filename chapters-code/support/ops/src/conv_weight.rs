//! What a convolution multiplies by.

use dfdx::prelude::*;

use crate::device::UNetDevice;

/// A weight, and, if there is one, what the device made of it the last time. Who gives a memo says
/// that the weight has not changed since the memo was new: [`crate::layers::Conv2d`] does, and
/// knows.
pub struct ConvWeight<'a, D: UNetDevice, S: Shape = (usize, usize, usize, usize)> {
    /// `(cout, cin, k, k)`
    pub(crate) values: &'a Tensor<S, f32, D>,
    pub(crate) memo: Option<&'a D::Memo>,
}

impl<'a, D: UNetDevice, S: Shape> From<&'a Tensor<S, f32, D>> for ConvWeight<'a, D, S> {
    fn from(values: &'a Tensor<S, f32, D>) -> Self {
        Self { values, memo: None }
    }
}
