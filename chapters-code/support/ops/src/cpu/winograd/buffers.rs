//! What is in memory between the transforms: matrices of tiles, and windows of pixels.

use pulp::Simd;

use super::maps::Block;
use super::tiling::PLACES;
use crate::cpu::tiles::{load, save, SLACK};
use crate::cpu::transpose::Pixels;

/// How the 36 matrices, one for each place of a transformed tile, lie in a buffer; their rows have
/// `width` numbers each.
#[derive(Clone, Copy)]
pub(super) struct MatrixLayout {
    pub width: usize,
    /// The distance from one matrix to the next: not a power of two, so that the 36 do not fight
    /// for the same cache lines.
    pub step: usize,
}

impl MatrixLayout {
    pub fn new(rows: usize, channels: usize, lanes: usize) -> Self {
        let width = channels.next_multiple_of(lanes);
        Self { width, step: (rows.next_multiple_of(4) * width).next_multiple_of(SLACK) + SLACK }
    }

    pub fn len(&self) -> usize {
        PLACES * self.step
    }
}

/// A block of N×N vectors: the one in row i, column j is at `at + i · row + j · column`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) fn get_block<S: Simd, const N: usize>(
    simd: S,
    from: &[f32],
    at: usize,
    row: usize,
    column: usize,
) -> Block<S::f32s, N> {
    let mut block = [[simd.splat_f32s(0.0); N]; N];
    let from = &from[at..at + (N - 1) * (row + column) + S::F32_LANES];
    for i in 0..N {
        for j in 0..N {
            // SAFETY: `from` ends with the vector of the largest i and j, which reaches furthest.
            // The sum does not wrap, because callers step through buffers of 36 such steps.
            block[i][j] = unsafe { load::<S>(from.as_ptr().add(i * row + j * column)) };
        }
    }
    block
}

/// Stores a block in the way that [`get_block`] reads one.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) fn put_block<S: Simd, const N: usize>(
    to: &mut [f32],
    at: usize,
    row: usize,
    column: usize,
    block: Block<S::f32s, N>,
) {
    let to = &mut to[at..at + (N - 1) * (row + column) + S::F32_LANES];
    for i in 0..N {
        for j in 0..N {
            // SAFETY: `to` ends with the vector of the largest i and j, which reaches furthest. The
            // sum does not wrap; see `get_block`.
            unsafe { save::<S>(to.as_mut_ptr().add(i * row + j * column), block[i][j]) };
        }
    }
}

/// A grid of `(rows, width)` vectors that covers some rows of an image; each vector has the
/// channels of one group at one pixel.
pub(super) struct Window {
    rows: usize,
    pub width: usize,
    /// The image's pixels in it.
    pub pixels: Pixels,
}

impl Window {
    /// The image is `(h, w)`; its row `top` is the window's first, and its first column is
    /// the window's column `left`.
    pub fn new(
        rows: usize,
        width: usize,
        [h, w]: [usize; 2],
        top: isize,
        left: usize,
        lanes: usize,
    ) -> Self {
        assert!(left + w <= width, "a window is as wide as the image");
        let inside = top.max(0) as usize..(top + rows as isize).clamp(0, h as isize) as usize;
        let row_of = |source: usize| (source as isize - top) as usize;
        let mut at = Vec::with_capacity(inside.len() * w);
        for source in inside.clone() {
            at.extend((0..w).map(|column| (row_of(source) * width + left + column) * lanes));
        }
        Self { rows, width, pixels: Pixels { first: inside.start * w, at } }
    }

    pub fn len(&self, lanes: usize) -> usize {
        self.rows * self.width * lanes
    }
}
