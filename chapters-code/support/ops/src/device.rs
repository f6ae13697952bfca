//! The kernels that a device must offer, on plain runs of memory.

use std::fmt::Debug;

use crate::memory::{Memory, Outputs};
use crate::parallel::{MaybeSend, MaybeSync};

/// Sizes of one convolution: `x (batch, cin, h, w)` to `y (batch, cout, ho, wo)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    pub batch: usize,
    pub cin: usize,
    pub cout: usize,
    pub h: usize,
    pub w: usize,
    pub ho: usize,
    pub wo: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    pub stride: usize,
    /// Rows and columns of zeros before the image (above and to the left).
    pub pad: usize,
}

/// What a convolution adds to its result in the same pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Added<R> {
    /// One number per output channel, `(cout)`.
    pub bias: Option<R>,
    /// One number per image and output channel, `(batch, cout)`.
    pub channels: Option<R>,
    /// Images like the result, `(batch, cout, ho, wo)`.
    pub images: Option<R>,
}

/// Sizes of one group normalisation over `(batch, channels, pixels)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    pub batch: usize,
    pub channels: usize,
    pub pixels: usize,
    pub groups: usize,
    /// Added to the variance before the root.
    pub eps: f32,
    /// Whether SiLU follows in the same pass.
    pub silu: bool,
}

/// The numbers of one AdamW update (Loshchilov & Hutter 2019, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    pub learning_rate: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    pub weight_decay: f32,
    /// `1 - beta1^step`, counting steps from 1.
    pub bias_correction1: f32,
    /// `1 - beta2^step`.
    pub bias_correction2: f32,
    /// Factor on every gradient (gradient clipping), 1 for none.
    pub gradient_scale: f32,
}

/// A device on which the U-Net runs.
///
/// Kernels see memory, not tensors. A kernel named `…_backward…` adds to the gradients that it is
/// given.
pub trait UNetDevice: Memory + Outputs {
    /// What a device makes of a convolution's weight, kept for the next time, see
    /// [`crate::layers::Conv2d`].
    type Memo: Clone + Debug + Default + MaybeSend + MaybeSync;

    /// Into how many parts a batch is cut, see [`crate::Replicas`].
    const PARTS: usize = 1;
    /// How many jobs [`UNetDevice::side_by_side`] does at the same time.
    fn lanes(&self) -> usize {
        1
    }
    /// A device like this one, with its own memory, for a job that is done at the same time.
    fn twin(&self) -> Self {
        self.clone()
    }
    /// Frees the memory that a twin keeps for later. Its tensors must be gone by then: the memory
    /// of later ones is freed as they go.
    fn retire(&self) {}
    /// Does all jobs, at most [`UNetDevice::lanes`], each with a device of its own.
    fn side_by_side<R: MaybeSend, J: FnOnce() -> R + MaybeSend>(jobs: Vec<J>) -> Vec<R> {
        jobs.into_iter().map(|job| job()).collect()
    }

    /// `y = x * w + added`; `w` is `(cout, cin, kernel, kernel)`. A memo is that of a weight with
    /// these same numbers.
    fn conv2d(
        &self,
        s: &ConvShape,
        x: Self::Read<'_>,
        w: Self::Read<'_>,
        memo: Option<&Self::Memo>,
        added: Added<Self::Read<'_>>,
        y: Self::Write<'_>,
    );
    /// Adds the gradient of the input.
    fn conv2d_backward_input(
        &self,
        s: &ConvShape,
        w: Self::Read<'_>,
        dy: Self::Read<'_>,
        dx: Self::Write<'_>,
    );
    /// Writes the gradient of the input.
    fn conv2d_gradient_of_input(
        &self,
        s: &ConvShape,
        w: Self::Read<'_>,
        dy: Self::Read<'_>,
        dx: Self::Write<'_>,
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

    /// `y (rows, out) = x (rows, inp) · wᵀ (out, inp) + b`.
    fn linear(
        &self,
        dims: [usize; 3],
        x: Self::Read<'_>,
        w: Self::Read<'_>,
        b: Option<Self::Read<'_>>,
        y: Self::Write<'_>,
    );
    /// Adds the gradient of the input; `dims` is `[rows, inp, out]`, as in `linear`.
    fn linear_backward_input(
        &self,
        dims: [usize; 3],
        w: Self::Read<'_>,
        dy: Self::Read<'_>,
        dx: Self::Write<'_>,
    );
    /// Adds the gradient of the weight.
    fn linear_backward_weight(
        &self,
        dims: [usize; 3],
        x: Self::Read<'_>,
        dy: Self::Read<'_>,
        dw: Self::Write<'_>,
    );

    /// Group normalisation, with SiLU behind it if `s.silu`. The mean and 1/√(variance + eps) of
    /// every group of every image go to `statistics (batch · groups, 2)`.
    fn group_norm(
        &self,
        s: &NormShape,
        x: Self::Read<'_>,
        gamma: Self::Read<'_>,
        beta: Self::Read<'_>,
        statistics: Self::Write<'_>,
        y: Self::Write<'_>,
    );
    /// Adds the gradients of input, scale and shift.
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

    /// Nearest neighbour from `(planes, h, w)` to `(planes, ho, wo)`; `dims` is `[planes, h, w, ho,
    /// wo]`.
    fn upsample(&self, dims: [usize; 5], x: Self::Read<'_>, y: Self::Write<'_>);
    /// Adds the gradient of the input.
    fn upsample_backward(&self, dims: [usize; 5], dy: Self::Read<'_>, dx: Self::Write<'_>);

    /// Attention from `q (batch, heads · d, pixels)` over `k` and `v (batch, heads · d, places)`;
    /// `dims` is `[batch · heads, d, pixels, places]`.
    fn attention(
        &self,
        dims: [usize; 4],
        q: Self::Read<'_>,
        k: Self::Read<'_>,
        v: Self::Read<'_>,
        y: Self::Write<'_>,
    );
    /// Adds the gradients of queries, keys and values.
    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        dims: [usize; 4],
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
    #[allow(clippy::too_many_arguments)]
    /// Copies rows of `len` elements from `src` to `dst`, adding if `accumulate`:
    /// row `i` starts at `i · src_stride + src_start` and at `i · dst_stride + dst_start`.
    fn copy_rows(
        &self,
        rows: usize,
        len: usize,
        src: Self::Read<'_>,
        from: [usize; 2],
        dst: Self::Write<'_>,
        to: [usize; 2],
        accumulate: bool,
    );

    /// One AdamW update of `p` with gradient `g` and moments `m` and `v`, all of one length.
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
