//! The kernels that a device must offer, on plain runs of memory.

use std::fmt::Debug;

use crate::memory::Memory;
use crate::parallel::{MaybeSend, MaybeSync};
use crate::shapes::{
    AdamW, Added, AttentionShape, ConvShape, LinearShape, NormShape, RowCopy, Store, UpsampleShape,
};

/// The kernels of a device.
///
/// They see memory, not tensors. A kernel named `…_backward…` adds to the gradients that it is
/// given, unless it takes a [`Store`] that says otherwise.
pub trait Kernels: Memory {
    /// What a device keeps of a convolution's weight for later calls; see
    /// [`crate::layers::Conv2d`].
    type Memo: Clone + Debug + Default + MaybeSend + MaybeSync;

    /// `y = x * w + added`; `w` is `(cout, cin, kernel, kernel)`. A memo, if there is one, must
    /// have been made for a weight with these same numbers.
    fn conv2d(
        &self,
        s: &ConvShape,
        x: Self::Read<'_>,
        w: Self::Read<'_>,
        memo: Option<&Self::Memo>,
        added: Added<Self::Read<'_>>,
        y: Self::Write<'_>,
    );
    /// The gradient of the input, which replaces what `dx` holds or is added to it.
    fn conv2d_backward_input(
        &self,
        s: &ConvShape,
        w: Self::Read<'_>,
        dy: Self::Read<'_>,
        dx: Self::Write<'_>,
        store: Store,
    );
    /// Adds the gradient of the weight.
    fn conv2d_backward_weight(
        &self,
        s: &ConvShape,
        x: Self::Read<'_>,
        dy: Self::Read<'_>,
        dw: Self::Write<'_>,
    );
    /// Adds the sum of `dy (batch, channels, pixels)` over batch and pixels to `db (channels)`.
    fn sum_per_channel(
        &self,
        batch: usize,
        channels: usize,
        pixels: usize,
        dy: Self::Read<'_>,
        db: Self::Write<'_>,
    );

    /// `y (rows, outputs) = x (rows, inputs) · wᵀ (outputs, inputs) + b`.
    fn linear(
        &self,
        s: &LinearShape,
        x: Self::Read<'_>,
        w: Self::Read<'_>,
        b: Option<Self::Read<'_>>,
        y: Self::Write<'_>,
    );
    /// Adds the gradient of the input.
    fn linear_backward_input(
        &self,
        s: &LinearShape,
        w: Self::Read<'_>,
        dy: Self::Read<'_>,
        dx: Self::Write<'_>,
    );
    /// Adds the gradient of the weight.
    fn linear_backward_weight(
        &self,
        s: &LinearShape,
        x: Self::Read<'_>,
        dy: Self::Read<'_>,
        dw: Self::Write<'_>,
    );

    /// Group normalisation, followed by SiLU if `s.silu` is set. The mean and 1/√(variance + eps)
    /// of every group of every image go to `statistics (batch · groups, 2)`.
    fn group_norm(
        &self,
        s: &NormShape,
        x: Self::Read<'_>,
        gamma: Self::Read<'_>,
        beta: Self::Read<'_>,
        statistics: Self::Write<'_>,
        y: Self::Write<'_>,
    );
    /// Adds the gradients of the input, the scale and the shift.
    #[allow(clippy::too_many_arguments)]
    fn group_norm_backward(
        &self,
        s: &NormShape,
        x: Self::Read<'_>,
        statistics: Self::Read<'_>,
        gamma: Self::Read<'_>,
        beta: Self::Read<'_>,
        dy: Self::Read<'_>,
        dx: Self::Write<'_>,
        dgamma: Self::Write<'_>,
        dbeta: Self::Write<'_>,
    );

    /// `y = x · sigmoid(x)`.
    fn silu(&self, x: Self::Read<'_>, y: Self::Write<'_>);
    /// Adds the gradient of the input.
    fn silu_backward(&self, x: Self::Read<'_>, dy: Self::Read<'_>, dx: Self::Write<'_>);

    /// Nearest neighbour: each result is the input at `floor(i · h / ho)`, `floor(j · w / wo)`.
    fn upsample(&self, s: &UpsampleShape, x: Self::Read<'_>, y: Self::Write<'_>);
    /// Adds the gradient of the input.
    fn upsample_backward(&self, s: &UpsampleShape, dy: Self::Read<'_>, dx: Self::Write<'_>);

    /// `y = v · softmax(qᵀ k / √d)ᵀ`, for each head.
    fn attention(
        &self,
        s: &AttentionShape,
        q: Self::Read<'_>,
        k: Self::Read<'_>,
        v: Self::Read<'_>,
        y: Self::Write<'_>,
    );
    /// Adds the gradients of queries, keys and values.
    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        s: &AttentionShape,
        q: Self::Read<'_>,
        k: Self::Read<'_>,
        v: Self::Read<'_>,
        dy: Self::Read<'_>,
        dq: Self::Write<'_>,
        dk: Self::Write<'_>,
        dv: Self::Write<'_>,
    );

    /// `y += a`.
    fn accumulate(&self, a: Self::Read<'_>, y: Self::Write<'_>);
    /// Copies rows from `src` to `dst`.
    fn copy_rows(&self, c: &RowCopy, src: Self::Read<'_>, dst: Self::Write<'_>, store: Store);

    /// One AdamW update of `p` with gradient `g` and moments `m` and `v`, all of the same length.
    fn adamw(
        &self,
        h: &AdamW,
        p: Self::Write<'_>,
        g: Self::Read<'_>,
        m: Self::Write<'_>,
        v: Self::Write<'_>,
    );
    /// `y = keep · y + (1 - keep) · x`.
    fn blend(&self, keep: f32, x: Self::Read<'_>, y: Self::Write<'_>);
    /// Writes the sum of squares of `x` to `sums[index]`.
    fn sum_of_squares(&self, x: Self::Read<'_>, sums: Self::Write<'_>, index: usize);
}
