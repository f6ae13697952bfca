//! The kernels on the processor. See `conv.rs` for how convolution is made fast.

mod attention;
mod base;
mod conv;
mod conv_shape;
mod elementwise;
mod gemm;
mod memory;
mod norm;
pub(crate) mod simd;
mod stale;
mod threads;
mod tiles;
mod transpose;
mod winograd;

use dfdx::prelude::*;

use crate::kernels::Kernels;
use crate::shapes::{
    AdamW, Added, AttentionShape, ConvShape, LinearShape, NormShape, RowCopy, Store, UpsampleShape,
};

impl Kernels for Cpu {
    type Memo = winograd::Memo;

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
    fn conv2d_backward_input(
        &self,
        s: &ConvShape,
        w: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        store: Store,
    ) {
        threads::awake();
        conv::backward_input(s, w, dy, store, dx)
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

    fn linear(&self, s: &LinearShape, x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32]) {
        gemm::linear(s, x, w, b, y)
    }
    fn linear_backward_input(&self, s: &LinearShape, w: &[f32], dy: &[f32], dx: &mut [f32]) {
        gemm::linear_backward_input(s, w, dy, dx)
    }
    fn linear_backward_weight(&self, s: &LinearShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        gemm::linear_backward_weight(s, x, dy, dw)
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

    fn upsample(&self, s: &UpsampleShape, x: &[f32], y: &mut [f32]) {
        elementwise::upsample(s, x, y)
    }
    fn upsample_backward(&self, s: &UpsampleShape, dy: &[f32], dx: &mut [f32]) {
        elementwise::upsample_backward(s, dy, dx)
    }

    fn attention(&self, s: &AttentionShape, q: &[f32], k: &[f32], v: &[f32], y: &mut [f32]) {
        threads::awake();
        attention::forward(s, q, k, v, y)
    }
    fn attention_backward(
        &self,
        s: &AttentionShape,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        dy: &[f32],
        dq: &mut [f32],
        dk: &mut [f32],
        dv: &mut [f32],
    ) {
        threads::awake();
        attention::backward(s, [q, k, v], dy, [dq, dk, dv])
    }

    fn accumulate(&self, a: &[f32], y: &mut [f32]) {
        elementwise::accumulate(a, y)
    }
    fn copy_rows(&self, c: &RowCopy, src: &[f32], dst: &mut [f32], store: Store) {
        elementwise::copy_rows(c, src, dst, store)
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
