//! Matrix products (the `gemm` crate) and what is made of them.

use gemm::Parallelism;
use rayon::prelude::*;

use super::elementwise::{exp, fold, fold2};
use super::forced::arch;

/// A view of a matrix in memory.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    row_step: usize,
    column_step: usize,
}

impl<'a> Matrix<'a> {
    /// Row after row, `width` numbers each.
    pub(super) fn rows(data: &'a [f32], width: usize) -> Self {
        Self { data, row_step: width, column_step: 1 }
    }
    /// Column after column, `height` numbers each: the transpose of a matrix of rows.
    pub(super) fn columns(data: &'a [f32], height: usize) -> Self {
        Self { data, row_step: 1, column_step: height }
    }
}

/// `c (m, n) = keep · c + factor · a (m, k) · b (k, n)`, on this thread alone, `c` in rows.
pub(super) fn matmul([m, n, k]: [usize; 3], a: Matrix, b: Matrix, factor: f32, keep: f32, c: &mut [f32]) {
    let reach = |x: &Matrix, rows: usize, columns: usize| (rows - 1) * x.row_step + (columns - 1) * x.column_step;
    assert!(reach(&a, m, k) < a.data.len() && reach(&b, k, n) < b.data.len() && m * n <= c.len());
    // SAFETY: the assertion keeps every access inside the three slices, and `c` is borrowed for writing.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            keep != 0.0,
            a.data.as_ptr(),
            a.column_step as isize,
            a.row_step as isize,
            b.data.as_ptr(),
            b.column_step as isize,
            b.row_step as isize,
            keep,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        )
    }
}

pub(super) fn linear(rows: usize, inp: usize, out: usize, x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32]) {
    for row in y.chunks_mut(out) {
        match b {
            Some(b) => row.copy_from_slice(b),
            None => row.fill(0.0),
        }
    }
    matmul([rows, out, inp], Matrix::rows(x, inp), Matrix::columns(w, inp), 1.0, 1.0, y)
}

/// The attention weights of one head: row i of the `n` rows holds the softmax over the `m` places j of q_i·k_j / √d.
fn weights([d, n, m]: [usize; 3], q: &[f32], k: &[f32], p: &mut [f32]) {
    matmul([n, m, d], Matrix::columns(q, n), Matrix::rows(k, m), 1.0 / (d as f32).sqrt(), 0.0, p);
    arch().dispatch(
        #[inline(always)]
        || {
            for row in p.chunks_mut(m) {
                let max = row.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m });
                for v in row.iter_mut() {
                    *v = exp(*v - max);
                }
                let scale = 1.0 / fold(row, |v| v);
                for v in row.iter_mut() {
                    *v *= scale;
                }
            }
        },
    );
}

pub(super) fn attention([_, d, n, m]: [usize; 4], q: &[f32], k: &[f32], v: &[f32], y: &mut [f32]) {
    let heads = y.par_chunks_mut(d * n).zip(q.par_chunks(d * n)).zip(k.par_chunks(d * m)).zip(v.par_chunks(d * m));
    heads.for_each_init(
        || vec![0.0; n * m],
        |p, (((y, q), k), v)| {
            weights([d, n, m], q, k, p);
            // y (d, n) = v (d, m) · pᵀ
            matmul([d, n, m], Matrix::rows(v, m), Matrix::columns(p, m), 1.0, 0.0, y);
        },
    );
}

pub(super) fn attention_backward(
    [_, d, n, m]: [usize; 4],
    [q, k, v]: [&[f32]; 3],
    dy: &[f32],
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let (len, keys) = (d * n, d * m);
    let inputs = q.par_chunks(len).zip(k.par_chunks(keys)).zip(v.par_chunks(keys)).zip(dy.par_chunks(len));
    let outputs = dq.par_chunks_mut(len).zip(dk.par_chunks_mut(keys)).zip(dv.par_chunks_mut(keys));
    inputs.zip(outputs).for_each_init(
        || (vec![0.0; n * m], vec![0.0; n * m]),
        |(p, ds), ((((q, k), v), dy), ((dq, dk), dv))| {
            weights([d, n, m], q, k, p);
            matmul([d, m, n], Matrix::rows(dy, n), Matrix::rows(p, m), 1.0, 1.0, dv);
            // Gradient of the weights, then through the softmax: ds = p ∘ (dp − rowsum(dp ∘ p)).
            matmul([n, m, d], Matrix::columns(dy, n), Matrix::rows(v, m), 1.0, 0.0, ds);
            arch().dispatch(
                #[inline(always)]
                || {
                    for (ds, p) in ds.chunks_mut(m).zip(p.chunks(m)) {
                        let dot = fold2(ds, p, |a, b| a * b);
                        for (ds, p) in ds.iter_mut().zip(p) {
                            *ds = p * (*ds - dot);
                        }
                    }
                },
            );
            let scale = 1.0 / (d as f32).sqrt();
            matmul([d, n, m], Matrix::rows(k, m), Matrix::columns(ds, m), scale, 1.0, dq);
            matmul([d, m, n], Matrix::rows(q, n), Matrix::rows(ds, m), scale, 1.0, dk);
        },
    );
}
