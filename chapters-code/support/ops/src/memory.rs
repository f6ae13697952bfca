//! Tensors and gradients as runs of memory, which is all that a kernel sees of them.

use dfdx::prelude::*;
use dfdx::tensor::Storage;

use crate::parallel::{MaybeSend, MaybeSync};

/// A batch of images or feature maps: `(batch, channels, height, width)`.
pub type Images<D, T = NoneTape> = Tensor<(usize, usize, usize, usize), f32, D, T>;
/// A batch of vectors: `(batch, features)`.
pub type Rows<D, T = NoneTape> = Tensor<(usize, usize), f32, D, T>;
/// A vector of run-time length.
pub type Vector<D, T = NoneTape> = Tensor<(usize,), f32, D, T>;
/// The memory of an `f32` tensor or gradient on device `D`.
pub type Buffer<D> = <D as Storage<f32>>::Vec;

/// Access to the elements of tensors and gradients.
pub trait Memory: Device<f32> + MaybeSend + MaybeSync {
    /// Elements that a kernel reads.
    type Read<'a>: Copy;
    /// Elements that a kernel writes.
    type Write<'a>;

    /// The elements of a contiguous tensor.
    ///
    /// # Panics
    /// If the tensor is not contiguous (call `.contiguous()` first).
    fn read<S: Shape>(t: &Tensor<S, f32, Self>) -> Self::Read<'_>;
    /// The elements of a contiguous tensor, for writing. Copies them first if another tensor shares
    /// them.
    ///
    /// # Panics
    /// If the tensor is not contiguous (call `.contiguous()` first).
    fn write<S: Shape>(t: &mut Tensor<S, f32, Self>) -> Self::Write<'_>;
    /// The same for a tensor that shares its elements with no other.
    fn write_unshared<S: Shape>(t: &mut Tensor<S, f32, Self>) -> Self::Write<'_> {
        Self::write(t)
    }
    /// The elements of a gradient.
    fn read_buffer(b: &Buffer<Self>) -> Self::Read<'_>;
    /// The elements of a gradient, for writing.
    fn write_buffer(b: &mut Buffer<Self>) -> Self::Write<'_>;
    /// The same elements, for one more kernel to write before `elements` is used again.
    fn reborrow<'a>(elements: &'a mut Self::Write<'_>) -> Self::Write<'a>;
}

/// Makes tensors for kernels to fill. This trait has no public name, because it is for the
/// functions of this crate, which fill every tensor that they make.
pub trait Outputs: Memory {
    /// A tensor that `fill` writes. Until it does, the tensor's elements are stale: initialised,
    /// but with values left over from tensors that are gone, or with zeros.
    fn output<S: Shape>(
        &self,
        shape: S,
        fill: impl FnOnce(Self::Write<'_>),
    ) -> Tensor<S, f32, Self>;
}
