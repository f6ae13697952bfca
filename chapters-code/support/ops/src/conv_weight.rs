//! What a convolution multiplies by.

use dfdx::prelude::*;

use crate::device::UNetDevice;

/// A weight and, if there is one, its memo, in which the device keeps the transformed weight.
/// Passing a memo asserts that the weight has not changed since the memo was created;
/// [`crate::layers::Conv2d`] can be sure of that, so it passes one.
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
