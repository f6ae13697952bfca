//! 3×3 convolution of stride 1 with a quarter of the multiplications: Winograd's F(4×4, 3×3)
//! (Lavin & Gray 2015, "Fast Algorithms for Convolutional Neural Networks").
//!
//! The result is cut into tiles of 4×4 pixels. Each depends on 6×6 inputs, and
//!
//! ```text
//! y = Aᵀ [ (G w Gᵀ) ∘ (Bᵀ x B) ] A          (their eq. 12)
//! ```
//!
//! Between the transforms every one of the 36 places is on its own: there, a sum over channels is a
//! matrix product of (tiles × input channels) with (input channels × output channels). That is 36
//! multiplications where the direct way takes 9 · 16 = 144. The gradient of the input is the same
//! convolution with the weight turned around; the gradient of the weight is the transpose of the
//! formula:
//!
//! ```text
//! dw = Gᵀ [ Σ over tiles of (A dy Aᵀ) ∘ (Bᵀ x B) ] G
//! ```
//!
//! Vectors run over channels: groups of as many channels as a vector holds are brought side by side
//! first.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::base::Base;
use super::forced::arch;
use super::tiles::{
    any, lanes, load, runs, save, with_scratch, Run, Starts, Tiles, ROWS, SLACK, VECTORS,
};
use super::transpose::Pixels;
use crate::shapes::ConvShape;

/// Side of a tile of the result.
const TILE: usize = 4;
/// Side of the inputs that a tile depends on.
const REACH: usize = TILE + 2;
/// Places in a transformed tile.
const PLACES: usize = REACH * REACH;
/// Tiles that are in work together, if there are so many: enough that a transformed weight, once
/// fetched, is used often, and few enough that the tiles stay near.
const TOGETHER: usize = 32;

/// Whether this method can do a convolution, and is faster than a matrix product: to transform the
/// weight takes long, and pays only for enough tiles, unless it is kept; for fewer where images are
/// small, which slows a product down.
pub(super) fn suits(s: &ConvShape, memo: Option<&Memo>) -> bool {
    let grid = Grid::new(s.ho, s.wo);
    let enough = match memo.is_some_and(|_| Memo::pays(s)) {
        true => 4,
        false if s.wo < 8 => 8,
        false => 16,
    };
    s.kernel == 3
        && s.stride == 1
        && s.pad < 3
        && s.cin.min(s.cout) >= 16
        && s.batch * grid.rows * grid.columns >= enough
}

/// The tiles of one image.
#[derive(Clone, Copy)]
struct Grid {
    rows: usize,
    columns: usize,
}

/// Tiles in work together: all tiles of some images, or some rows of tiles of one image.
#[derive(Clone, Copy)]
struct Band {
    image: usize,
    images: usize,
    row: usize,
    rows: usize,
    columns: usize,
}

impl Grid {
    fn new(height: usize, width: usize) -> Self {
        Self { rows: height.div_ceil(TILE), columns: width.div_ceil(TILE) }
    }

    /// Cuts `images` images into bands of about `TOGETHER` tiles, of at most `most` images.
    fn bands(self, images: usize, most: usize) -> Vec<Band> {
        let together = (TOGETHER / (self.rows * self.columns)).clamp(1, most);
        let groups = (0..images).step_by(together).map(|image| image..images.min(image + together));
        groups.flat_map(|images| self.cut(images, 0..self.rows)).collect()
    }

    /// Cuts some rows of tiles of some images into bands of about `TOGETHER` tiles.
    fn cut(self, images: Range<usize>, rows: Range<usize>) -> impl Iterator<Item = Band> {
        let bands = (images.len() * rows.len() * self.columns).div_ceil(TOGETHER);
        let band_rows = rows.len().div_ceil(bands);
        rows.clone().step_by(band_rows).map(move |row| Band {
            image: images.start,
            images: images.len(),
            row,
            rows: band_rows.min(rows.end - row),
            columns: self.columns,
        })
    }
}

impl Band {
    fn tiles(&self) -> usize {
        self.images * self.rows * self.columns
    }
}

/// A buffer of 36 matrices of `rows` rows with `width` numbers each.
#[derive(Clone, Copy)]
struct Places {
    width: usize,
    /// From one matrix to the next: not a power of two, so that the 36 do not fight for the same
    /// lines of cache.
    step: usize,
}

impl Places {
    fn new(rows: usize, channels: usize, lanes: usize) -> Self {
        let width = channels.next_multiple_of(lanes);
        Self { width, step: (rows.next_multiple_of(4) * width).next_multiple_of(SLACK) + SLACK }
    }

    fn len(&self) -> usize {
        PLACES * self.step
    }
}

type Block<V, const N: usize> = [[V; N]; N];

/// One of the linear maps of the method (Lavin & Gray, section 4.3), from N numbers to M, on
/// vectors of numbers.
///
/// Traits and plain loops, where closures would read better: only what is sure to be inlined is
/// compiled for the instruction set that was detected.
trait Map<const N: usize, const M: usize> {
    fn of<S: Simd>(simd: S, v: [S::f32s; N]) -> [S::f32s; M];
}

/// `t m tᵀ`: applies `T` to the columns of m and then to its rows.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn both_ways<S: Simd, T: Map<N, M>, const N: usize, const M: usize>(
    simd: S,
    m: &Block<S::f32s, N>,
) -> Block<S::f32s, M> {
    let zero = simd.splat_f32s(0.0);
    let mut columns = [[zero; M]; N];
    for j in 0..N {
        let mut column = [zero; N];
        for i in 0..N {
            column[i] = m[i][j];
        }
        columns[j] = T::of(simd, column);
    }
    let mut result = [[zero; M]; M];
    for i in 0..M {
        let mut row = [zero; N];
        for j in 0..N {
            row[j] = columns[j][i];
        }
        result[i] = T::of(simd, row);
    }
    result
}

/// `k · a + b`
#[inline(always)]
fn fma<S: Simd>(simd: S, k: f32, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(k), a, b)
}

#[inline(always)]
fn scale<S: Simd>(simd: S, k: f32, a: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(k), a)
}

/// Bᵀ, from inputs to places.
struct OfInput;
impl Map<6, 6> for OfInput {
    #[inline(always)]
    fn of<S: Simd>(s: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let (a, b) = (fma(s, -4.0, d[2], d[4]), fma(s, -4.0, d[1], d[3]));
        let (c, e) = (s.sub_f32s(d[4], d[2]), scale(s, 2.0, s.sub_f32s(d[3], d[1])));
        [
            fma(s, 4.0, d[0], fma(s, -5.0, d[2], d[4])),
            s.add_f32s(a, b),
            s.sub_f32s(a, b),
            s.add_f32s(c, e),
            s.sub_f32s(c, e),
            fma(s, 4.0, d[1], fma(s, -5.0, d[3], d[5])),
        ]
    }
}

/// G, from weights to places.
struct OfWeight;
impl Map<3, 6> for OfWeight {
    #[inline(always)]
    fn of<S: Simd>(s: S, w: [S::f32s; 3]) -> [S::f32s; 6] {
        let even = scale(s, -1.0 / 6.0, s.add_f32s(w[0], w[2]));
        let odd = scale(s, -1.0 / 6.0, w[1]);
        let far = fma(s, 1.0 / 24.0, w[0], scale(s, 1.0 / 6.0, w[2]));
        let slope = scale(s, 1.0 / 12.0, w[1]);
        [
            scale(s, 0.25, w[0]),
            s.add_f32s(even, odd),
            s.sub_f32s(even, odd),
            s.add_f32s(far, slope),
            s.sub_f32s(far, slope),
            w[2],
        ]
    }
}

/// Aᵀ, from places to results.
struct ToResult;
impl Map<6, 4> for ToResult {
    #[inline(always)]
    fn of<S: Simd>(s: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
        let (a, b) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
        let (p, q) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
        [
            s.add_f32s(s.add_f32s(m[0], a), p),
            fma(s, 2.0, q, b),
            fma(s, 4.0, p, a),
            s.add_f32s(fma(s, 8.0, q, b), m[5]),
        ]
    }
}

/// A, from the gradient of results to places.
struct OfResult;
impl Map<4, 6> for OfResult {
    #[inline(always)]
    fn of<S: Simd>(s: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
        let (even, odd) = (s.add_f32s(y[0], y[2]), s.add_f32s(y[1], y[3]));
        let far = fma(s, 4.0, y[2], y[0]);
        let slope = fma(s, 8.0, y[3], scale(s, 2.0, y[1]));
        [
            y[0],
            s.add_f32s(even, odd),
            s.sub_f32s(even, odd),
            s.add_f32s(far, slope),
            s.sub_f32s(far, slope),
            y[3],
        ]
    }
}

/// Gᵀ, from places to the gradient of weights.
struct ToWeight;
impl Map<6, 3> for ToWeight {
    #[inline(always)]
    fn of<S: Simd>(s: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
        let (a, b) = (s.add_f32s(u[1], u[2]), s.sub_f32s(u[2], u[1]));
        let (p, q) = (s.add_f32s(u[3], u[4]), s.sub_f32s(u[3], u[4]));
        let even = scale(s, -1.0 / 6.0, a);
        [
            fma(s, 0.25, u[0], fma(s, 1.0 / 24.0, p, even)),
            fma(s, 1.0 / 6.0, b, scale(s, 1.0 / 12.0, q)),
            fma(s, 1.0 / 6.0, p, s.add_f32s(even, u[5])),
        ]
    }
}

/// A block of N×N vectors: row i, column j at `at + i · row + j · column`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn get_block<S: Simd, const N: usize>(
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
            // SAFETY: `from` ends with the vector of the largest i and j, which ends furthest.
            block[i][j] = unsafe { load::<S>(from.as_ptr().add(i * row + j * column)) };
        }
    }
    block
}

/// Stores a block, as [`get_block`] reads it.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn put_block<S: Simd, const N: usize>(
    to: &mut [f32],
    at: usize,
    row: usize,
    column: usize,
    block: Block<S::f32s, N>,
) {
    let to = &mut to[at..at + (N - 1) * (row + column) + S::F32_LANES];
    for i in 0..N {
        for j in 0..N {
            // SAFETY: `to` ends with the vector of the largest i and j, which ends furthest.
            unsafe { save::<S>(to.as_mut_ptr().add(i * row + j * column), block[i][j]) };
        }
    }
}

/// A grid of `(rows, width)` vectors, each with the channels of one group at one pixel, that covers
/// some rows of an image.
struct Window {
    rows: usize,
    width: usize,
    /// The image's pixels in it.
    pixels: Pixels,
}

impl Window {
    /// The image is `(h, w)`; its row number `top` is the window's first, and its first column is
    /// the window's column `left`.
    fn new(
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

    fn len(&self, lanes: usize) -> usize {
        self.rows * self.width * lanes
    }
}

/// Transforms blocks of N×N inputs, `TILE` apart, of all channels of a band's images into its 36
/// matrices.
struct Transform<'a> {
    band: Band,
    /// All images, `(image, channels, h, w)`.
    x: &'a [f32],
    channels: usize,
    h: usize,
    w: usize,
    pad: usize,
    places: Places,
    to: &'a mut [f32],
    window: &'a mut Vec<f32>,
}

impl Transform<'_> {
    #[inline(always)]
    fn run<S: Simd, T: Map<N, REACH>, const N: usize>(self, simd: S) {
        let lanes = S::F32_LANES;
        let band = self.band;
        let (rows, width) = ((band.rows - 1) * TILE + N, (band.columns - 1) * TILE + N);
        let top = (band.row * TILE) as isize - self.pad as isize;
        let window = Window::new(rows, width, [self.h, self.w], top, self.pad, lanes);
        // The image's pixels are written for every group, the border around them stays zero.
        let pixels = any(self.window, window.len(lanes));
        pixels.fill(0.0);
        let plane = self.h * self.w;
        for image in 0..band.images {
            for first in (0..self.channels).step_by(lanes) {
                let planes = &self.x[((band.image + image) * self.channels + first) * plane..];
                let channels = lanes.min(self.channels - first);
                window.pixels.scatter(simd, planes, plane, channels, pixels);
                for row in 0..band.rows {
                    for column in 0..band.columns {
                        let corner = (row * window.width + column) * TILE * lanes;
                        let block =
                            get_block::<S, N>(simd, pixels, corner, window.width * lanes, lanes);
                        let block = both_ways::<S, T, N, REACH>(simd, &block);
                        let tile = (image * band.rows + row) * band.columns + column;
                        let Places { width, step } = self.places;
                        put_block::<S, REACH>(
                            self.to,
                            tile * width + first,
                            REACH * step,
                            step,
                            block,
                        );
                    }
                }
            }
        }
    }
}

/// A weight in memory: the nine numbers from input channel c to output channel o start at
/// `o · of_output + c · of_input`, and are read backwards if `turned`.
#[derive(Clone, Copy)]
pub(super) struct Weight<'a> {
    pub w: &'a [f32],
    pub of_output: usize,
    pub of_input: usize,
    pub turned: bool,
}

/// 36 matrices of transformed weights, each cut into strips as wide as a tile of results, so that a
/// product reads one strip from its beginning to its end.
#[derive(Clone, Copy)]
struct Strips {
    /// Rows of each matrix.
    rows: usize,
    /// Numbers in a row of a strip.
    width: usize,
    /// From one matrix to the next.
    step: usize,
}

impl Strips {
    fn new(rows: usize, channels: usize, lanes: usize) -> Self {
        let width = VECTORS * lanes;
        Self { rows, width, step: rows * channels.next_multiple_of(width) + SLACK }
    }

    /// The runs of vectors of `count` channels from `first` on.
    fn runs(self, first: usize, count: usize, lanes: usize) -> Vec<Run> {
        let source =
            |channel: usize| channel / self.width * self.rows * self.width + channel % self.width;
        (0..count)
            .step_by(lanes)
            .map(|i| Run { source: source(first + i), target: i, len: lanes })
            .collect()
    }

    /// Where the rows begin within a strip.
    fn starts(self) -> Starts {
        Starts::new((0..self.rows).map(|row| row * self.width).collect())
    }
}

impl Weight<'_> {
    /// The weight of some output channels, transformed to `buffer`.
    fn transformed<'b>(
        &self,
        s: &ConvShape,
        channels: Range<usize>,
        threads: usize,
        buffer: &'b mut Vec<f32>,
    ) -> Transformed<'b> {
        let strips = Strips::new(s.cin, channels.len(), lanes());
        let u = any(buffer, PLACES * strips.step);
        let weight = Weight { w: &self.w[channels.start * self.of_output..], ..*self };
        weight.transform(s.cin, channels.len(), threads, strips, u);
        Transformed { strips, first: channels.start, u }
    }

    /// The transformed weight: 36 matrices of `cin` rows with `cout` numbers.
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
            arch().dispatch(TransformWeight {
                weight: self,
                first,
                width: strips.width,
                cout,
                rows,
            })
        });
    }
}

/// Some rows of the 36 matrices of a transformed weight, from input channel `first` on.
struct TransformWeight<'a, 'b> {
    weight: &'a Weight<'a>,
    first: usize,
    /// Numbers in a row of a strip.
    width: usize,
    cout: usize,
    /// These rows of the first matrix's strips, then those of the second.
    rows: &'a mut [&'b mut [f32]],
}

impl WithSimd for TransformWeight<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        /// Input channels taken together, so that what is written is not read back at once.
        const CHANNELS: usize = 8;
        let lanes = S::F32_LANES;
        let Weight { w, of_output, of_input, turned } = *self.weight;
        let mut taps = [0.0f32; CHANNELS * 9 * SLACK];
        let rows = self.rows[0].len() / self.width;
        let strips = self.rows.len() / PLACES;
        // The nine numbers of a pair of channels are to an output channel what pixels are to a
        // plane.
        let at = (0..9).map(|k| if turned { 8 - k } else { k } * lanes).collect();
        let mut pixels = Pixels { first: 0, at };
        for o in (0..self.cout).step_by(lanes) {
            let (strip, column) = (o / self.width, o % self.width);
            let w = &w[o * of_output..];
            for c in (0..rows).step_by(CHANNELS) {
                let channels = CHANNELS.min(rows - c);
                for i in 0..channels {
                    pixels.first = (self.first + c + i) * of_input;
                    let to = &mut taps[i * 9 * lanes..][..9 * lanes];
                    pixels.scatter(simd, w, of_output, lanes.min(self.cout - o), to);
                }
                for i in 0..channels {
                    let block = get_block::<S, 3>(simd, &taps, i * 9 * lanes, 3 * lanes, lanes);
                    let block = both_ways::<S, OfWeight, 3, REACH>(simd, &block);
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

/// Some rows of tiles of some images, some output channels, from x to y.
struct Forward<'a, 'b> {
    s: &'a ConvShape,
    band: Band,
    x: &'a [f32],
    weight: Transformed<'a>,
    base: Base<'a>,
    /// The first output channel, and how many.
    first: usize,
    count: usize,
    /// For each of the band's images and these channels, its results from pixel `skipped` on.
    y: &'a mut [&'b mut [f32]],
    skipped: usize,
    scratch: &'a mut [Vec<f32>; 3],
}

impl WithSimd for Forward<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        let (s, band) = (self.s, self.band);
        let [v, m, window] = self.scratch;
        let v_places = Places::new(band.tiles(), s.cin, lanes);
        let m_places = Places::new(band.tiles(), self.count, lanes);
        let (v, m) = (any(v, v_places.len()), any(m, m_places.len()));
        Transform {
            band,
            x: self.x,
            channels: s.cin,
            h: s.h,
            w: s.w,
            pad: s.pad,
            places: v_places,
            to: &mut *v,
            window,
        }
        .run::<S, OfInput, REACH>(simd);
        let Transformed { strips, first, u } = self.weight;
        let (starts, runs) =
            (strips.starts(), strips.runs(self.first - first, m_places.width, lanes));
        for place in 0..PLACES {
            let tiles = Tiles {
                a: &v[place * v_places.step..][..v_places.step],
                a_panel: 4 * v_places.width,
                a_row: v_places.width,
                a_column: 1,
                b: &u[place * strips.step..][..strips.step],
                starts: &starts,
                runs: &runs,
                out: &mut m[place * m_places.step..][..m_places.step],
                out_row: m_places.width,
                rows: band.tiles(),
                accumulate: false,
            };
            tiles.with_simd(simd);
        }
        // Back to pixels: a group of channels side by side first, then each channel to its plane.
        let width = band.columns * TILE;
        let grid = Window::new(
            band.rows * TILE,
            width,
            [s.ho, s.wo],
            (band.row * TILE) as isize,
            0,
            lanes,
        );
        let window = any(window, grid.len(lanes));
        for image in 0..band.images {
            for first in (0..self.count).step_by(lanes) {
                for row in 0..band.rows {
                    for column in 0..band.columns {
                        let tile = (image * band.rows + row) * band.columns + column;
                        let at = tile * m_places.width + first;
                        let block = get_block::<S, REACH>(
                            simd,
                            m,
                            at,
                            REACH * m_places.step,
                            m_places.step,
                        );
                        let block = both_ways::<S, ToResult, REACH, TILE>(simd, &block);
                        let corner = (row * width + column) * TILE * lanes;
                        put_block::<S, TILE>(window, corner, width * lanes, lanes, block);
                    }
                }
                let planes = &mut self.y[image * self.count + first..];
                let channels = lanes.min(self.count - first);
                let mut bases = [(0.0, None); SLACK];
                for (c, base) in bases[..channels].iter_mut().enumerate() {
                    *base = self.base.plane(s, band.image + image, self.first + first + c);
                }
                grid.pixels.gather(
                    simd,
                    window,
                    channels,
                    #[inline(always)]
                    |c, pixel, values| {
                        let y = &mut planes[c][pixel - self.skipped..][..values.len()];
                        match (self.base, bases[c]) {
                            (Base::Itself, _) => {
                                y.iter_mut().zip(values).for_each(|(y, v)| *y += v)
                            }
                            (_, (constant, None)) => {
                                y.iter_mut().zip(values).for_each(|(y, v)| *y = v + constant)
                            }
                            (_, (constant, Some(added))) => {
                                let values = values.iter().zip(&added[pixel..]);
                                y.iter_mut()
                                    .zip(values)
                                    .for_each(|(y, (v, added))| *y = v + constant + added)
                            }
                        }
                    },
                );
            }
        }
    }
}

/// A transformed weight: its matrices, and the output channel that their first column is for.
#[derive(Clone, Copy)]
struct Transformed<'a> {
    strips: Strips,
    first: usize,
    u: &'a [f32],
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
    /// Whether a transformed weight is kept. It is four times as large as the weight. With many
    /// tiles to transform it takes little time beside the rest; and a large one is made anew in
    /// less time than it takes to fetch it from beyond the nearer caches.
    fn pays(s: &ConvShape) -> bool {
        let grid = Grid::new(s.ho, s.wo);
        s.batch * grid.rows * grid.columns <= 64 && s.cin * s.cout <= 8192
    }

    /// The transformed weight, made now if it is not there. Nothing, if it was made for other
    /// vectors.
    fn of(&self, weight: &Weight, s: &ConvShape) -> Option<Transformed<'_>> {
        let kept = self.0.get().unwrap_or_else(|| {
            // Not made within `get_or_init`: a thread that waits there for others may be given work
            // that comes here, too.
            let mut u = Vec::new();
            weight.transformed(s, 0..s.cout, rayon::current_num_threads(), &mut u);
            self.0.get_or_init(|| Arc::new(Kept { lanes: lanes(), u }))
        });
        let strips = Strips::new(s.cin, s.cout, lanes());
        (kept.lanes == lanes()).then_some(Transformed { strips, first: 0, u: &kept.u })
    }
}

/// `y = conv(x, w) + base`. A memo is that of this weight.
pub(super) fn correlate(
    s: &ConvShape,
    x: &[f32],
    weight: Weight,
    memo: Option<&Memo>,
    base: Base,
    y: &mut [f32],
) {
    let (threads, grid) = (rayon::current_num_threads(), Grid::new(s.ho, s.wo));
    let memo = memo.filter(|_| Memo::pays(s));
    let kept = memo.and_then(|memo| memo.of(&weight, s));
    if threads / s.batch > 1 {
        return correlate_shared(s, x, weight, kept, base, threads / s.batch, y);
    }
    // Threads have images of their own, and use the same transformed weight.
    let work = |weight: Transformed, y: &mut [f32]| {
        let bands = grid.bands(s.batch, s.batch.div_ceil(threads));
        let pieces: Vec<&[Band]> = bands.chunk_by(|a, b| a.image == b.image).collect();
        let pixels = s.ho * s.wo;
        let y = y.par_chunks_mut(pieces[0][0].images * s.cout * pixels).zip(&pieces);
        y.for_each(|(y, bands)| {
            let mut planes: Vec<_> = y.chunks_mut(pixels).collect();
            with_scratch(|scratch| {
                for &band in *bands {
                    let (first, count, y) = (0, s.cout, &mut planes[..]);
                    arch().dispatch(Forward {
                        s,
                        band,
                        x,
                        weight,
                        base,
                        first,
                        count,
                        y,
                        skipped: 0,
                        scratch,
                    });
                }
            })
        });
    };
    match kept {
        Some(kept) => work(kept, y),
        None => with_scratch(|[u]| work(weight.transformed(s, 0..s.cout, threads, u), y)),
    }
}

/// What one thread does of an image.
struct Share {
    /// Rows of tiles.
    rows: Range<usize>,
    /// Output channels.
    channels: Range<usize>,
}

impl Share {
    /// Cuts `0..len` into `count` pieces that are a multiple of `step` long, but for the last.
    fn pieces(len: usize, count: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
        let piece = len.div_ceil(count).next_multiple_of(step);
        (0..len).step_by(piece).map(move |first| first..len.min(first + piece))
    }

    /// Cuts an image into `count` shares: by rows, where every thread transforms the whole weight
    /// for itself, unless it is there already, or by channels, where every thread transforms the
    /// whole image for itself; whichever is less work for the thread that has most. (They could
    /// share what they transform, but to wait for each other, and to fetch numbers from another's
    /// cache, takes longer.)
    fn all(s: &ConvShape, count: usize, transformed: bool) -> Vec<Self> {
        let grid = Grid::new(s.ho, s.wo);
        let rows = Self::pieces(grid.rows, count, 1).map(|rows| Self { rows, channels: 0..s.cout });
        let channels = Self::pieces(s.cout, count, SLACK)
            .map(|channels| Self { rows: 0..grid.rows, channels });
        let (rows, channels): (Vec<_>, Vec<_>) = (rows.collect(), channels.collect());
        // The first share is the largest.
        match rows[0].work(s, grid, transformed) <= channels[0].work(s, grid, transformed) {
            true => rows,
            false => channels,
        }
    }

    /// How long it takes, roughly: multiplications, and what the transforms of input, result and
    /// weight cost beside them.
    fn work(&self, s: &ConvShape, grid: Grid, transformed: bool) -> usize {
        let (tiles, cin, cout) = (self.rows.len() * grid.columns, s.cin, self.channels.len());
        let multiplications = tiles.next_multiple_of(ROWS) * cin * cout;
        3 * multiplications / 2
            + tiles * (9 * cin + 8 * cout)
            + if transformed { 0 } else { 6 * cin * cout }
    }

    /// Its pixels in each channel.
    fn pixels(&self, s: &ConvShape) -> Range<usize> {
        self.rows.start * TILE * s.wo..(self.rows.end * TILE).min(s.ho) * s.wo
    }
}

/// [`correlate`] for fewer images than threads: `threads` of them share an image.
fn correlate_shared(
    s: &ConvShape,
    x: &[f32],
    weight: Weight,
    kept: Option<Transformed>,
    base: Base,
    threads: usize,
    y: &mut [f32],
) {
    let shares = Share::all(s, threads, kept.is_some());
    let one_per_image = |image| {
        shares.iter().map(move |share| (image, share, Vec::with_capacity(share.channels.len())))
    };
    let mut jobs: Vec<_> = (0..s.batch).flat_map(one_per_image).collect();
    for (i, mut plane) in y.chunks_mut(s.ho * s.wo).enumerate() {
        let (image, channel) = (i / s.cout, i % s.cout);
        for (_, share, planes) in &mut jobs[image * shares.len()..][..shares.len()] {
            if share.channels.contains(&channel) {
                let (mine, rest) = plane.split_at_mut(share.pixels(s).len());
                planes.push(mine);
                plane = rest;
            }
        }
    }
    jobs.into_par_iter().for_each(|(image, share, mut planes)| {
        let (first, count, skipped) =
            (share.channels.start, share.channels.len(), share.pixels(s).start);
        let mut work = |weight: Transformed| {
            with_scratch(|scratch| {
                for band in Grid::new(s.ho, s.wo).cut(image..image + 1, share.rows.clone()) {
                    let y = &mut planes[..];
                    arch().dispatch(Forward {
                        s,
                        band,
                        x,
                        weight,
                        base,
                        first,
                        count,
                        y,
                        skipped,
                        scratch,
                    });
                }
            })
        };
        match kept {
            Some(kept) => work(kept),
            None => with_scratch(|[u]| work(weight.transformed(s, share.channels.clone(), 1, u))),
        }
    })
}

/// Bands whose transformed tiles are in memory at once while the gradient of a weight is summed.
const BANDS: usize = 4;

/// Adds the gradient of the weight.
pub(super) fn backward_weight(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let lanes = lanes();
    let bands = Grid::new(s.ho, s.wo).bands(s.batch, s.batch);
    let most = bands.iter().map(Band::tiles).max().expect("a convolution has results");
    let (v_places, m_places) = (Places::new(most, s.cin, lanes), Places::new(most, s.cout, lanes));
    let u_places = Places::new(s.cin, s.cout, lanes);
    let together = BANDS.min(bands.len());
    with_scratch(|[u, v, m]| {
        let u = any(u, u_places.len());
        let (v, m) = (any(v, together * v_places.len()), any(m, together * m_places.len()));
        for (chunk, bands) in bands.chunks(BANDS).enumerate() {
            let buffers = v.par_chunks_mut(v_places.len()).zip(m.par_chunks_mut(m_places.len()));
            bands.par_iter().zip(buffers).for_each(|(&band, (v, m))| {
                with_scratch(|[window]| {
                    arch().dispatch(TransformBoth {
                        s,
                        band,
                        x,
                        dy,
                        v_places,
                        m_places,
                        v,
                        m,
                        window,
                    })
                })
            });
            u.par_chunks_mut(u_places.step).enumerate().for_each(|(place, u)| {
                arch().dispatch(SumTiles {
                    s,
                    bands,
                    first: chunk == 0,
                    place,
                    v_places,
                    m_places,
                    u_places,
                    v,
                    m,
                    u,
                })
            });
        }
        let u = &*u;
        let together = lanes * s.cin * 9;
        dw.par_chunks_mut(together).enumerate().for_each(|(i, dw)| {
            arch().dispatch(WeightGradient { cin: s.cin, first: i * lanes, u_places, u, dw });
        });
    });
}

/// Inputs and gradients of one band into their 36 matrices.
struct TransformBoth<'a> {
    s: &'a ConvShape,
    band: Band,
    x: &'a [f32],
    dy: &'a [f32],
    v_places: Places,
    m_places: Places,
    v: &'a mut [f32],
    m: &'a mut [f32],
    window: &'a mut Vec<f32>,
}

impl WithSimd for TransformBoth<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (s, band, window) = (self.s, self.band, self.window);
        let (x, dy) = (self.x, self.dy);
        Transform {
            band,
            x,
            channels: s.cin,
            h: s.h,
            w: s.w,
            pad: s.pad,
            places: self.v_places,
            to: self.v,
            window,
        }
        .run::<S, OfInput, REACH>(simd);
        let places = self.m_places;
        Transform {
            band,
            x: dy,
            channels: s.cout,
            h: s.ho,
            w: s.wo,
            pad: 0,
            places,
            to: self.m,
            window,
        }
        .run::<S, OfResult, TILE>(simd);
    }
}

/// For one of the 36 places: the sum over tiles of input times gradient, for every pair of
/// channels.
struct SumTiles<'a> {
    s: &'a ConvShape,
    bands: &'a [Band],
    /// Whether these are the first: then there is nothing to add to.
    first: bool,
    place: usize,
    v_places: Places,
    m_places: Places,
    u_places: Places,
    v: &'a [f32],
    m: &'a [f32],
    u: &'a mut [f32],
}

impl WithSimd for SumTiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (v_places, m_places) = (self.v_places, self.m_places);
        let runs: Vec<_> = runs(0, 0, m_places.width, S::F32_LANES).collect();
        for (i, band) in self.bands.iter().enumerate() {
            let starts = Starts::new((0..band.tiles()).map(|tile| tile * m_places.width).collect());
            let tiles = Tiles {
                a: &self.v[i * v_places.len() + self.place * v_places.step..][..v_places.step],
                a_panel: 4,
                a_row: 1,
                a_column: v_places.width,
                b: &self.m[i * m_places.len() + self.place * m_places.step..][..m_places.step],
                starts: &starts,
                runs: &runs,
                out: self.u,
                out_row: self.u_places.width,
                rows: self.s.cin,
                accumulate: i > 0 || !self.first,
            };
            tiles.with_simd(simd);
        }
    }
}

/// The last transform of the gradient of the weight, for a vector of output channels.
struct WeightGradient<'a> {
    cin: usize,
    /// The first output channel.
    first: usize,
    u_places: Places,
    u: &'a [f32],
    /// Of these channels alone.
    dw: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        let mut taps = [0.0f32; 9 * SLACK];
        let Places { width, step } = self.u_places;
        for c in 0..self.cin {
            let block =
                get_block::<S, REACH>(simd, self.u, c * width + self.first, REACH * step, step);
            let block = both_ways::<S, ToWeight, REACH, 3>(simd, &block);
            put_block::<S, 3>(&mut taps, 0, 3 * lanes, lanes, block);
            for (lane, dw) in self.dw.chunks_mut(self.cin * 9).enumerate() {
                for (k, dw) in dw[c * 9..][..9].iter_mut().enumerate() {
                    *dw += taps[k * lanes + lane];
                }
            }
        }
    }
}
