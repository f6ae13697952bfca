//! The kernels on the processor. See `conv.rs` for how convolution is made fast.
//!
//! # A known limit
//!
//! dfdx 0.13 keeps the storage of a tensor private. It lends single elements (`&t[index]`) or
//! copies all of them, and nothing in its public interface lends the whole. A kernel needs the
//! whole, so [`elements`] and [`elements_mut`] extend a pointer to the first element over the
//! tensor. That pointer never leaves the one allocation that holds all elements, but the reference
//! that it was made from covers one of them only: of the two proposed sets of aliasing rules, Tree
//! Borrows accepts this and Stacked Borrows rejects it. Compiled code is not affected: rustc
//! promises LLVM of a `&f32` that at least four bytes can be read, never that no others can.
//!
//! What a kernel makes does not go this way: a result is written as a `Vec`, before it becomes a
//! tensor, and dfdx does lend the storage of gradients.

mod attention;
mod conv;
mod dense;
mod elementwise;
pub(crate) mod forced;
mod norm;
mod stale;
mod threads;
mod tiles;
mod transpose;
mod winograd;

use dfdx::prelude::*;

use crate::memory::Outputs;
use crate::{AdamW, Added, Buffer, ConvShape, Memory, NormShape, UNetDevice};

/// The elements of a contiguous tensor, without copying.
fn elements<S: Shape>(t: &Tensor<S, f32, Cpu>) -> &[f32] {
    let shape = t.shape().concrete();
    let len = t.shape().num_elements();
    assert!(len > 0, "a tensor without elements");
    let origin: *const f32 = &t[S::Concrete::default()];
    // dfdx keeps strides private, but tells the address of any element: a tensor is contiguous if a
    // step along each axis goes as far as the axes behind it are long.
    let at = |index| &t[index] as *const f32 as usize;
    let distance = |index| at(index).wrapping_sub(origin as usize) / size_of::<f32>();
    let (mut expected, mut last) = (1, S::Concrete::default());
    for axis in (0..S::NUM_DIMS).rev() {
        if shape[axis] > 1 {
            let mut index = S::Concrete::default();
            index[axis] = 1;
            let step = distance(index);
            assert_eq!(step, expected, "the tensor is not contiguous: call .contiguous() first");
        }
        last[axis] = shape[axis] - 1;
        expected *= shape[axis];
    }
    assert_eq!(distance(last), len - 1, "the last element is the last in memory");
    // SAFETY: dfdx keeps all elements in one `Vec<f32>`, initialised, and has checked that `origin`
    // and the element `len - 1` further, which is the last, are in it. The borrow of `t` keeps the
    // `Vec` alive and unchanged: a tensor that is written to copies storage that it shares. What
    // this relies on beyond that is said above, as a known limit: a pointer made from a reference
    // to one element may reach the others.
    unsafe { std::slice::from_raw_parts(origin, len) }
}

/// The elements of a contiguous tensor, to write.
fn elements_mut<S: Shape>(t: &mut Tensor<S, f32, Cpu>) -> &mut [f32] {
    let len = elements(t).len();
    // `IndexMut` makes the storage this tensor's own (it copies what others share).
    let origin: *mut f32 = &mut t[S::Concrete::default()];
    // SAFETY: as in `elements`, with the same reliance. `t` is borrowed for writing and its storage
    // is no other tensor's, so nothing else reads or writes these elements meanwhile.
    unsafe { std::slice::from_raw_parts_mut(origin, len) }
}

impl Memory for Cpu {
    type Read<'a> = &'a [f32];
    type Write<'a> = &'a mut [f32];

    fn read<S: Shape>(t: &Tensor<S, f32, Self>) -> &[f32] {
        elements(t)
    }
    fn write<S: Shape>(t: &mut Tensor<S, f32, Self>) -> &mut [f32] {
        elements_mut(t)
    }
    fn read_buffer(b: &Buffer<Self>) -> &[f32] {
        b
    }
    fn write_buffer(b: &mut Buffer<Self>) -> &mut [f32] {
        b
    }
    fn reborrow<'a>(elements: &'a mut &mut [f32]) -> &'a mut [f32] {
        elements
    }
}

impl Outputs for Cpu {
    fn output<S: Shape>(&self, shape: S, fill: impl FnOnce(&mut [f32])) -> Tensor<S, f32, Self> {
        let mut values = stale::numbers(self, shape.num_elements());
        fill(&mut values);
        self.tensor_from_vec(values, shape)
    }
}

impl UNetDevice for Cpu {
    type Memo = winograd::Memo;

    #[cfg(not(feature = "cuda"))]
    const PARTS: usize = 2;
    #[cfg(not(feature = "cuda"))]
    fn lanes(&self) -> usize {
        rayon::current_num_threads()
    }
    // dfdx's cache of memory must not be asked from two threads at the same time: between looking
    // whether there is something and taking it out, another may have taken it. So every lane has a
    // device, and a cache, of its own.
    #[cfg(not(feature = "cuda"))]
    fn twin(&self) -> Self {
        let twin = Cpu::default();
        twin.enable_cache();
        twin
    }
    // A dfdx device that is dropped does not free what its cache holds.
    #[cfg(not(feature = "cuda"))]
    fn retire(&self) {
        self.disable_cache();
    }
    #[cfg(not(feature = "cuda"))]
    fn side_by_side<R: Send, J: FnOnce() -> R + Send>(jobs: Vec<J>) -> Vec<R> {
        threads::awake();
        threads::side_by_side(jobs)
    }

    fn conv2d(
        &self,
        s: &ConvShape,
        x: &[f32],
        w: &[f32],
        memo: Option<&winograd::Memo>,
        added: Added<&[f32]>,
        y: &mut [f32],
    ) {
        threads::awake();
        conv::forward(s, x, w, memo, added, y)
    }
    fn conv2d_backward_input(&self, s: &ConvShape, w: &[f32], dy: &[f32], dx: &mut [f32]) {
        threads::awake();
        conv::backward_input(s, w, dy, conv::Base::Itself, dx)
    }
    fn conv2d_gradient_of_input(&self, s: &ConvShape, w: &[f32], dy: &[f32], dx: &mut [f32]) {
        threads::awake();
        conv::backward_input(s, w, dy, conv::Base::NOTHING, dx)
    }
    fn conv2d_backward_weight(&self, s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        threads::awake();
        conv::backward_weight(s, x, dy, dw)
    }
    fn sum_per_channel(
        &self,
        batch: usize,
        channels: usize,
        pixels: usize,
        dy: &[f32],
        db: &mut [f32],
    ) {
        elementwise::sum_per_channel(batch, channels, pixels, dy, db)
    }

    fn linear(
        &self,
        [rows, inp, out]: [usize; 3],
        x: &[f32],
        w: &[f32],
        b: Option<&[f32]>,
        y: &mut [f32],
    ) {
        dense::linear(rows, inp, out, x, w, b, y)
    }
    fn linear_backward_input(
        &self,
        [rows, inp, out]: [usize; 3],
        w: &[f32],
        dy: &[f32],
        dx: &mut [f32],
    ) {
        dense::matmul(
            [rows, inp, out],
            dense::Matrix::rows(dy, out),
            dense::Matrix::rows(w, inp),
            1.0,
            1.0,
            dx,
        )
    }
    fn linear_backward_weight(
        &self,
        [rows, inp, out]: [usize; 3],
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
    ) {
        dense::matmul(
            [out, inp, rows],
            dense::Matrix::columns(dy, out),
            dense::Matrix::rows(x, inp),
            1.0,
            1.0,
            dw,
        )
    }

    fn group_norm(
        &self,
        s: &NormShape,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        statistics: &mut [f32],
        y: &mut [f32],
    ) {
        threads::awake();
        norm::forward(s, x, gamma, beta, statistics, y)
    }
    fn group_norm_backward(
        &self,
        s: &NormShape,
        x: &[f32],
        statistics: &[f32],
        gamma: &[f32],
        beta: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        dgamma: &mut [f32],
        dbeta: &mut [f32],
    ) {
        threads::awake();
        norm::backward(s, x, statistics, gamma, beta, dy, dx, dgamma, dbeta)
    }

    fn silu(&self, x: &[f32], y: &mut [f32]) {
        elementwise::silu(x, y)
    }
    fn silu_backward(&self, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        elementwise::silu_backward(x, dy, dx)
    }

    fn upsample(&self, dims: [usize; 5], x: &[f32], y: &mut [f32]) {
        elementwise::upsample(dims, x, y)
    }
    fn upsample_backward(&self, dims: [usize; 5], dy: &[f32], dx: &mut [f32]) {
        elementwise::upsample_backward(dims, dy, dx)
    }

    fn attention(&self, dims: [usize; 4], q: &[f32], k: &[f32], v: &[f32], y: &mut [f32]) {
        threads::awake();
        attention::forward(dims, q, k, v, y)
    }
    fn attention_backward(
        &self,
        dims: [usize; 4],
        q: &[f32],
        k: &[f32],
        v: &[f32],
        dy: &[f32],
        dq: &mut [f32],
        dk: &mut [f32],
        dv: &mut [f32],
    ) {
        threads::awake();
        attention::backward(dims, [q, k, v], dy, [dq, dk, dv])
    }

    fn accumulate(&self, a: &[f32], y: &mut [f32]) {
        elementwise::accumulate(a, y)
    }
    fn copy_rows(
        &self,
        rows: usize,
        len: usize,
        src: &[f32],
        from: [usize; 2],
        dst: &mut [f32],
        to: [usize; 2],
        accumulate: bool,
    ) {
        elementwise::copy_rows(rows, len, src, from, dst, to, accumulate)
    }

    fn adamw(&self, h: &AdamW, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        elementwise::adamw(h, p, g, m, v)
    }
    fn blend(&self, keep: f32, x: &[f32], y: &mut [f32]) {
        elementwise::blend(keep, x, y)
    }
    fn sum_of_squares(&self, x: &[f32], sums: &mut [f32], index: usize) {
        sums[index] = elementwise::sum_of_squares(x) as f32
    }
}
