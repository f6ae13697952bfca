//! Matrix products: the `gemm` crate.

use gemm::Parallelism;

use super::tiles::reach;
use crate::shapes::LinearShape;

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
    /// Whether it has this many rows and columns.
    fn has(&self, rows: usize, columns: usize) -> bool {
        reach([(rows - 1, self.row_step), (columns - 1, self.column_step)]) < self.data.len()
    }
}

/// How many terms of a sum the `gemm` crate adds up without looking at the sizes of the caches, so
/// that every machine rounds in the same way.
const TERMS: usize = 512;

/// `c (m, n) = keep · c + factor · a (m, k) · b (k, n)`, on this thread alone; `c` is in rows.
pub(super) fn matmul(
    [m, n, k]: [usize; 3],
    a: Matrix,
    b: Matrix,
    factor: f32,
    keep: f32,
    c: &mut [f32],
) {
    assert!(a.has(m, k) && b.has(k, n) && reach([(m, n)]) <= c.len());
    for first in (0..k).step_by(TERMS) {
        let keep = if first == 0 { keep } else { 1.0 };
        // SAFETY: the assertion holds for the last row and column of each matrix, and so for all;
        // `first` is a column of `a` and a row of `b`. `c` is borrowed for writing, so it overlaps
        // neither of them, and it already holds the numbers that `keep` multiplies.
        unsafe {
            gemm::gemm(
                m,
                n,
                TERMS.min(k - first),
                c.as_mut_ptr(),
                1,
                n as isize,
                keep != 0.0,
                a.data.as_ptr().add(first * a.column_step),
                a.column_step as isize,
                a.row_step as isize,
                b.data.as_ptr().add(first * b.row_step),
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
}

pub(super) fn linear(
    &LinearShape { rows, inputs, outputs }: &LinearShape,
    x: &[f32],
    w: &[f32],
    b: Option<&[f32]>,
    y: &mut [f32],
) {
    for row in y.chunks_mut(outputs) {
        match b {
            Some(b) => row.copy_from_slice(b),
            None => row.fill(0.0),
        }
    }
    let (x, w) = (Matrix::rows(x, inputs), Matrix::columns(w, inputs));
    matmul([rows, outputs, inputs], x, w, 1.0, 1.0, y)
}

pub(super) fn linear_backward_input(
    &LinearShape { rows, inputs, outputs }: &LinearShape,
    w: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    let (dy, w) = (Matrix::rows(dy, outputs), Matrix::rows(w, inputs));
    matmul([rows, inputs, outputs], dy, w, 1.0, 1.0, dx)
}

pub(super) fn linear_backward_weight(
    &LinearShape { rows, inputs, outputs }: &LinearShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let (dy, x) = (Matrix::columns(dy, outputs), Matrix::rows(x, inputs));
    matmul([outputs, inputs, rows], dy, x, 1.0, 1.0, dw)
}
