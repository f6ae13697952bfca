//! Transformed weights, which are kept where that pays.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::buffers::get_block;
use super::maps::{both_ways, FilterTransform};
use super::tiling::{Grid, PLACES, REACH};
use crate::cpu::simd::arch;
use crate::cpu::tiles::{lanes, save, scratch_slice, Run, Starts, SLACK, VECTORS};
use crate::cpu::transpose::Pixels;
use crate::shapes::ConvShape;

/// A weight in memory: the nine numbers from input channel c to output channel o start at
/// `o · output_stride + c · input_stride`, and are read backwards if `flipped` is set.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Filter<'a> {
    pub w: &'a [f32],
    pub output_stride: usize,
    pub input_stride: usize,
    /// Rotated by 180 degrees.
    pub flipped: bool,
}

/// A transformed weight: its matrices, and the output channel that their first column is for.
#[derive(Clone, Copy)]
pub(super) struct TransformedFilter<'a> {
    pub strips: Strips,
    pub first: usize,
    pub u: &'a [f32],
}

/// A transformed weight that is kept for the next convolution with this weight.
#[derive(Clone, Debug, Default)]
pub struct Memo(OnceLock<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    lanes: usize,
    u: Vec<f32>,
}

impl Memo {
    /// Whether a transformed weight is kept. It is four times as large as the weight. If there are
    /// many tiles, transforming the weight takes little time compared with the rest; and
    /// transforming a large weight again takes less time than fetching the result from beyond the
    /// nearer caches.
    pub(super) fn pays(s: &ConvShape) -> bool {
        let grid = Grid::new(s.ho, s.wo);
        s.batch * grid.rows * grid.columns <= 64 && s.cin * s.cout <= 8192
    }

    /// The transformed weight, made now if it is not there. `None` if it was made for another
    /// vector width.
    pub(super) fn get_or_transform(
        &self,
        filter: &Filter,
        s: &ConvShape,
    ) -> Option<TransformedFilter<'_>> {
        let kept = self.0.get().unwrap_or_else(|| {
            // Not made within `get_or_init`: a thread that waits there for others may be given work
            // that comes here, too.
            let mut u = Vec::new();
            filter.transformed(s, 0..s.cout, rayon::current_num_threads(), &mut u);
            self.0.get_or_init(|| Arc::new(Kept { lanes: lanes(), u }))
        });
        let strips = Strips::new(s.cin, s.cout, lanes());
        (kept.lanes == lanes()).then_some(TransformedFilter { strips, first: 0, u: &kept.u })
    }
}

impl Filter<'_> {
    /// The weight of some output channels, transformed into `buffer`.
    pub(super) fn transformed<'b>(
        &self,
        s: &ConvShape,
        channels: Range<usize>,
        threads: usize,
        buffer: &'b mut Vec<f32>,
    ) -> TransformedFilter<'b> {
        let strips = Strips::new(s.cin, channels.len(), lanes());
        let u = scratch_slice(buffer, PLACES * strips.step);
        let filter = Filter { w: &self.w[channels.start * self.output_stride..], ..*self };
        filter.transform(s.cin, channels.len(), threads, strips, u);
        TransformedFilter { strips, first: channels.start, u }
    }

    /// The transformed weight: 36 matrices, each with `cin` rows of `cout` numbers.
    fn transform(&self, cin: usize, cout: usize, threads: usize, strips: Strips, to: &mut [f32]) {
        // Each thread takes some rows of all strips of all matrices.
        let together = cin.div_ceil(threads).max(8);
        let mut pieces: Vec<Vec<&mut [f32]>> = Vec::new();
        pieces.resize_with(cin.div_ceil(together), Vec::new);
        for matrix in to.chunks_mut(strips.step) {
            let whole = matrix.len() - SLACK;
            for strip in matrix[..whole].chunks_mut(cin * strips.width) {
                for (piece, rows) in
                    pieces.iter_mut().zip(strip.chunks_mut(together * strips.width))
                {
                    piece.push(rows);
                }
            }
        }
        pieces.par_iter_mut().enumerate().for_each(|(piece, rows)| {
            let first = piece * together;
            arch().dispatch(TransformFilter {
                filter: self,
                first,
                width: strips.width,
                cout,
                rows,
            })
        });
    }
}

/// Some rows of the 36 matrices of a transformed weight, from input channel `first` on.
struct TransformFilter<'a, 'b> {
    filter: &'a Filter<'a>,
    first: usize,
    /// Numbers in a row of a strip.
    width: usize,
    cout: usize,
    /// These rows of the first matrix's strips, then of the second's, and so on.
    rows: &'a mut [&'b mut [f32]],
}

impl WithSimd for TransformFilter<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        /// Input channels taken together, so that what is written is not read back immediately.
        const CHANNELS: usize = 8;
        let lanes = S::F32_LANES;
        let Filter { w, output_stride, input_stride, flipped } = *self.filter;
        let mut taps = [0.0f32; CHANNELS * 9 * SLACK];
        let rows = self.rows[0].len() / self.width;
        let strips = self.rows.len() / PLACES;
        // The nine numbers of a pair of channels are to an output channel what pixels are to a
        // plane.
        let at = (0..9).map(|k| if flipped { 8 - k } else { k } * lanes).collect();
        let mut pixels = Pixels { first: 0, at };
        for o in (0..self.cout).step_by(lanes) {
            let (strip, column) = (o / self.width, o % self.width);
            let w = &w[o * output_stride..];
            for c in (0..rows).step_by(CHANNELS) {
                let channels = CHANNELS.min(rows - c);
                for i in 0..channels {
                    pixels.first = (self.first + c + i) * input_stride;
                    let to = &mut taps[i * 9 * lanes..][..9 * lanes];
                    pixels.scatter(simd, w, output_stride, lanes.min(self.cout - o), to);
                }
                for i in 0..channels {
                    let block = get_block::<S, 3>(simd, &taps, i * 9 * lanes, 3 * lanes, lanes);
                    let block = both_ways::<S, FilterTransform, 3, REACH>(simd, &block);
                    for place in 0..PLACES {
                        let to = &mut self.rows[place * strips + strip]
                            [(c + i) * self.width + column..][..lanes];
                        // SAFETY: `to` is exactly one vector long.
                        unsafe { save::<S>(to.as_mut_ptr(), block[place / REACH][place % REACH]) };
                    }
                }
            }
        }
    }
}

/// 36 matrices of transformed weights, each cut into strips as wide as a tile of results, so that a
/// product reads one strip from its beginning to its end.
#[derive(Clone, Copy)]
pub(super) struct Strips {
    /// Rows of each matrix.
    rows: usize,
    /// Numbers in a row of a strip.
    width: usize,
    /// The distance from one matrix to the next.
    pub step: usize,
}

impl Strips {
    fn new(rows: usize, channels: usize, lanes: usize) -> Self {
        let width = VECTORS * lanes;
        Self { rows, width, step: rows * channels.next_multiple_of(width) + SLACK }
    }

    /// The runs of vectors that cover `count` channels, beginning with `first`.
    pub fn runs(self, first: usize, count: usize, lanes: usize) -> Vec<Run> {
        let source =
            |channel: usize| channel / self.width * self.rows * self.width + channel % self.width;
        (0..count)
            .step_by(lanes)
            .map(|i| Run { source: source(first + i), target: i, len: lanes })
            .collect()
    }

    /// Where the rows begin within a strip.
    pub fn starts(self) -> Starts {
        Starts::new((0..self.rows).map(|row| row * self.width).collect())
    }
}
