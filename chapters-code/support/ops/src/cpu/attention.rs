//! Attention, a few pixels at a time, so that there is never a matrix of all pixels by all places.
//!
//! With queries q `(d, n)`, keys k and values v `(d, m)`, everything is kept transposed: the
//! weights pᵀ `(m, n)` of several pixels, one column each, are side by side in vectors. Then
//! softmax runs down columns, many at a time, and all products are sums of rows, as [`Tiles`] wants
//! them:
//!
//! ```text
//! pᵀ = softmax(kᵀ q / √d)     y = v pᵀ
//! gᵀ = pᵀ ∘ (vᵀ dy − column sums of pᵀ ∘ vᵀ dy) / √d
//! dq = k gᵀ     dkᵀ = gᵀ qᵀ     dvᵀ = pᵀ dyᵀ
//! ```

use rayon::prelude::*;

use super::elementwise::exp;
use super::simd::{arch, vectorized};
use super::tiles::{lanes, runs, scratch_slice, with_scratch, Run, Starts, Tiles, ROWS, SLACK};
use super::transpose::{add_transposed, transpose};
use crate::shapes::AttentionShape;

/// Pixels that are worked on together: their weights stay in the nearest cache or the next.
const COLUMNS: usize = 64;

/// A matrix in memory, row after row, with padding after each row.
#[derive(Clone, Copy)]
struct PaddedRows<'a> {
    values: &'a [f32],
    /// The distance from one row to the next.
    step: usize,
}

impl<'a> PaddedRows<'a> {
    /// A copy of `from`, whose rows have `len` numbers. After each row there is room for as much as
    /// [`Tiles`] may read beyond it. This also keeps long rows whose length is a power of two from
    /// fighting for the same lines of the nearest cache.
    fn copy(from: &[f32], len: usize, to: &'a mut Vec<f32>) -> Self {
        let (rows, step) = (from.len() / len, len.next_multiple_of(SLACK) + SLACK);
        let to = scratch_slice(to, rows.next_multiple_of(ROWS) * step);
        for (from, to) in from.chunks(len).zip(to.chunks_mut(step)) {
            to[..len].copy_from_slice(from);
        }
        Self { values: to, step }
    }
}

/// Which way the left factor of a product is read.
#[derive(Clone, Copy)]
enum Left {
    Plain,
    Transposed,
}

/// `out (rows, …) = a (rows, depth) · b (depth, …)`, or `out += …` with `accumulate`; `to` says
/// which columns of b and of the result are meant.
fn product(
    [rows, depth]: [usize; 2],
    (a, left): (PaddedRows, Left),
    b: PaddedRows,
    to: &[Run],
    (out, out_row): (&mut [f32], usize),
    accumulate: bool,
) {
    let (a_row, a_column) = match left {
        Left::Plain => (a.step, 1),
        Left::Transposed => (1, a.step),
    };
    let starts = &Starts::new((0..depth).map(|k| k * b.step).collect());
    let (a, b, a_panel) = (a.values, b.values, ROWS * a_row);
    arch().dispatch(Tiles {
        a,
        a_panel,
        a_row,
        a_column,
        b,
        starts,
        runs: to,
        out,
        out_row,
        rows,
        accumulate,
    });
}

/// One head's numbers.
struct Head<'a> {
    /// Numbers per pixel, pixels, places.
    dims: [usize; 3],
    q: PaddedRows<'a>,
    k: PaddedRows<'a>,
    v: PaddedRows<'a>,
}

impl<'a> Head<'a> {
    fn new(
        dims @ [_, n, m]: [usize; 3],
        [q, k, v]: [&[f32]; 3],
        [to_q, to_k, to_v]: [&'a mut Vec<f32>; 3],
    ) -> Self {
        Self {
            dims,
            q: PaddedRows::copy(q, n, to_q),
            k: PaddedRows::copy(k, m, to_k),
            v: PaddedRows::copy(v, m, to_v),
        }
    }

    /// The weights of some pixels, before they are divided by their sums, and the reciprocals of
    /// these sums.
    fn weights(&self, columns: &[Run], width: usize, p: &mut [f32]) -> [f32; COLUMNS] {
        let [d, _, m] = self.dims;
        product([m, d], (self.k, Left::Transposed), self.q, columns, (p, width), false);
        let factor = 1.0 / (d as f32).sqrt();
        vectorized(
            #[inline(always)]
            |math| {
                let (mut max, mut sum) = ([f32::NEG_INFINITY; COLUMNS], [0.0f32; COLUMNS]);
                for row in p.chunks_exact(width) {
                    for (max, &v) in max.iter_mut().zip(row) {
                        *max = if v > *max { v } else { *max };
                    }
                }
                for row in p.chunks_exact_mut(width) {
                    for ((v, sum), max) in row.iter_mut().zip(&mut sum).zip(&max) {
                        *v = exp(math, factor * (*v - max));
                        *sum += *v;
                    }
                }
                sum.map(|sum| 1.0 / sum)
            },
        )
    }

    /// Goes through all pixels, some at a time: `work` gets the number of the first pixel, the runs
    /// that read and write the columns, and the row length of a buffer for these columns.
    fn columns(&self, mut work: impl FnMut(usize, &[Run], usize)) {
        let (n, lanes) = (self.dims[1], lanes());
        for first in (0..n).step_by(COLUMNS) {
            let count = COLUMNS.min(n - first);
            // From a matrix of all pixels to a buffer of these pixels alone.
            let columns: Vec<Run> =
                runs(first, 0, count, lanes).map(|run| Run { len: lanes, ..run }).collect();
            work(first, &columns, count.next_multiple_of(lanes));
        }
    }
}

/// Runs for the way back, from a buffer of some pixels to a matrix of all `n`, where they begin at
/// column `first`.
fn columns_to_image(first: usize, n: usize) -> Vec<Run> {
    runs(0, first, COLUMNS.min(n - first), lanes()).collect()
}

pub(super) fn forward(s: &AttentionShape, q: &[f32], k: &[f32], v: &[f32], y: &mut [f32]) {
    let &AttentionShape { d, pixels: n, places: m, .. } = s;
    let heads = y
        .par_chunks_mut(d * n)
        .zip(q.par_chunks(d * n))
        .zip(k.par_chunks(d * m))
        .zip(v.par_chunks(d * m));
    heads.for_each(|(((y, q), k), v)| {
        with_scratch(|[p, to_q, to_k, to_v]| {
            let head = Head::new([d, n, m], [q, k, v], [to_q, to_k, to_v]);
            head.columns(|first, columns, width| {
                let p = scratch_slice(p, m.next_multiple_of(ROWS) * width);
                let parts = head.weights(columns, width, &mut p[..m * width]);
                let p = PaddedRows { values: p, step: width };
                product(
                    [d, m],
                    (head.v, Left::Plain),
                    p,
                    &columns_to_image(first, n),
                    (y, n),
                    false,
                );
                let count = COLUMNS.min(n - first);
                vectorized(
                    #[inline(always)]
                    |_| {
                        for row in y.chunks_mut(n) {
                            row[first..][..count]
                                .iter_mut()
                                .zip(&parts)
                                .for_each(|(y, part)| *y *= part);
                        }
                    },
                );
            })
        })
    });
}

/// Adds the gradients of queries, keys and values.
pub(super) fn backward(
    &AttentionShape { d, pixels: n, places: m, .. }: &AttentionShape,
    [q, k, v]: [&[f32]; 3],
    dy: &[f32],
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let (len, keys) = (d * n, d * m);
    let inputs =
        q.par_chunks(len).zip(k.par_chunks(keys)).zip(v.par_chunks(keys)).zip(dy.par_chunks(len));
    let outputs = dq.par_chunks_mut(len).zip(dk.par_chunks_mut(keys)).zip(dv.par_chunks_mut(keys));
    inputs.zip(outputs).for_each(|((((q, k), v), dy), ((dq, dk), dv))| {
        with_scratch(|[to_q, to_k, to_v, rest @ ..]: &mut [Vec<f32>; 10]| {
            let head = Head::new([d, n, m], [q, k, v], [to_q, to_k, to_v]);
            one_head_backward(&head, [q, dy], [dq, dk, dv], rest)
        })
    });
}

fn one_head_backward(
    head: &Head,
    [q, dy]: [&[f32]; 2],
    [dq, dk, dv]: [&mut [f32]; 3],
    scratch: &mut [Vec<f32>; 7],
) {
    let [d, n, m] = head.dims;
    let (lanes, factor) = (lanes(), 1.0 / (d as f32).sqrt());
    let wide = d.next_multiple_of(lanes);
    let [p, g, to_dy, q_transposed, dy_transposed, dk_transposed, dv_transposed] = scratch;
    let (q_transposed, dy_transposed) =
        (scratch_slice(q_transposed, n * wide), scratch_slice(dy_transposed, n * wide));
    transpose(q, n, q_transposed, wide);
    transpose(dy, n, dy_transposed, wide);
    let (dk_transposed, dv_transposed) =
        (scratch_slice(dk_transposed, m * wide), scratch_slice(dv_transposed, m * wide));
    let dy = PaddedRows::copy(dy, n, to_dy);
    let all: Vec<Run> = runs(0, 0, wide, lanes).collect();
    head.columns(|first, columns, width| {
        let count = COLUMNS.min(n - first);
        let rows = m.next_multiple_of(ROWS) * width;
        let (p, g) = (scratch_slice(p, rows), scratch_slice(g, rows));
        let parts = head.weights(columns, width, &mut p[..m * width]);
        product([m, d], (head.v, Left::Transposed), dy, columns, (g, width), false);
        vectorized(
            #[inline(always)]
            |_| {
                let mut dot = [0.0f32; COLUMNS];
                for (p, g) in p.chunks_exact_mut(width).zip(g.chunks_exact(width)).take(m) {
                    for (((p, g), dot), part) in p.iter_mut().zip(g).zip(&mut dot).zip(&parts) {
                        *p *= part;
                        *dot += *p * g;
                    }
                }
                for (p, g) in p.chunks_exact(width).zip(g.chunks_exact_mut(width)).take(m) {
                    for ((g, p), dot) in g.iter_mut().zip(p).zip(&dot) {
                        *g = factor * p * (*g - dot);
                    }
                }
            },
        );
        let [p, g] = [&*p, &*g].map(|values| PaddedRows { values, step: width });
        product([d, m], (head.k, Left::Plain), g, &columns_to_image(first, n), (dq, n), true);
        // What these pixels add to the gradients of every place.
        let [q, dy] = [&*q_transposed, &*dy_transposed]
            .map(|transposed| PaddedRows { values: &transposed[first * wide..], step: wide });
        product([m, count], (g, Left::Plain), q, &all, (dk_transposed, wide), first > 0);
        product([m, count], (p, Left::Plain), dy, &all, (dv_transposed, wide), first > 0);
    });
    add_transposed(dk_transposed, wide, dk, m);
    add_transposed(dv_transposed, wide, dv, m);
}
