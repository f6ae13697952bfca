//! Convolution without building the matrix that it multiplies by.
//!
//! All three passes are sums of the form `out[i][j] = Σ_k a[i][k] · b[k][j]`, where a row `b[k]` is a run of
//! neighbouring numbers in an image that lies ready in memory: only its start has to be known. So one small kernel,
//! [`Tiles`], does them all. It keeps a tile of the result, 4 rows by up to 2 vectors, in registers while it runs
//! over all k, and looks up where each `b[k]` starts in a table.
//!
//! - Forward: `a` is the weight, k runs over input channel and kernel position, `b[k]` is the image shifted by
//!   that kernel position. A copy of the image with its border of zeros serves all positions.
//! - Gradient of the input, stride 1: the same, with the weight turned around. Other strides scatter instead.
//! - Gradient of the weight: `a` is the output's gradient, k runs over pixels, `b[k]` are the channels at that
//!   pixel, for which the padded image is kept with channels last.
//!
//! Most convolutions of a U-Net are 3×3 with many channels; those go the shorter way of [`winograd`].

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::forced::arch;
use super::tiles::{lanes, runs, with_scratch, Run, Starts, Tiles, ROWS, SLACK, VECTORS};
use super::winograd;
use crate::ConvShape;

/// Inputs (k) per block of work: as many as fit into the nearest cache beside the rest.
const BLOCK: usize = 256;

impl WithSimd for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.compute(simd)
    }
}

/// The weight in groups of four output channels, `[cout / 4][k][4]`: the order in which tiles read it.
/// `at(o, k)` is the weight from input k to output channel o.
fn pack(cout: usize, depth: usize, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut packed = vec![0.0; cout.div_ceil(ROWS) * depth * ROWS];
    for (o, column) in (0..cout).flat_map(|o| (0..depth).map(move |k| (o, k))) {
        packed[(o / ROWS * depth + column) * ROWS + o % ROWS] = at(o, column);
    }
    packed
}

/// `y = conv(x, w) + b`; with `accumulate`, `y += conv(x, w)`.
pub(super) fn forward(s: &ConvShape, x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32], accumulate: bool) {
    let depth = s.cin * s.kernel * s.kernel;
    if winograd::suits(s) {
        return winograd::correlate(s, x, |o, c, k| w[(o * s.cin + c) * 9 + k], b, y, accumulate);
    }
    let packed = pack(s.cout, depth, |o, k| w[o * depth + k]);
    correlate(s, x, &packed, b, y, accumulate)
}

/// [`forward`] with the weight already packed.
fn correlate(s: &ConvShape, x: &[f32], packed: &[f32], b: Option<&[f32]>, y: &mut [f32], accumulate: bool) {
    let depth = s.cin * s.kernel * s.kernel;
    let lanes = lanes();
    let patch = Patches::new(s, lanes);
    let pixels = s.ho * s.wo;
    let (image, result) = (s.cin * s.h * s.w, s.cout * pixels);
    // One piece of work is one image, or, with fewer images than threads, some output channels of one.
    let panels = s.cout.div_ceil(ROWS);
    let split = (2 * rayon::current_num_threads()).div_ceil(s.batch).clamp(1, panels);
    let per_piece = panels.div_ceil(split);
    let runs = patch.runs(s, lanes);
    let work = |n: usize, first: usize, y: &mut [f32]| {
        if !accumulate {
            for (o, plane) in y.chunks_mut(pixels).enumerate() {
                plane.fill(b.map_or(0.0, |b| b[first * ROWS + o]));
            }
        }
        with_scratch(|[buffer, ..]| {
            let source = patch.fill(s, &x[n * image..][..image], buffer);
            // All output channels for a few runs and a block of inputs, so that these stay in the nearest cache.
            for runs in runs.chunks(VECTORS) {
                for (block, starts) in patch.starts.iter().enumerate() {
                    arch().dispatch(Tiles {
                        a: &packed[(first * depth + block * BLOCK) * ROWS..],
                        a_panel: depth * ROWS,
                        a_row: 1,
                        a_column: ROWS,
                        b: source,
                        starts,
                        runs,
                        rows: y.len() / pixels,
                        out: y,
                        out_row: pixels,
                        accumulate: true,
                    });
                }
            }
        });
    };
    if split == 1 {
        y.par_chunks_mut(result).enumerate().for_each(|(n, y)| work(n, 0, y));
    } else {
        for (n, y) in y.chunks_mut(result).enumerate() {
            let pieces = y.par_chunks_mut(per_piece * ROWS * pixels).enumerate();
            pieces.for_each(|(piece, y)| work(n, piece * per_piece, y));
        }
    }
}

/// Where the inputs of a convolution lie: in a padded copy of the image, or, where its rows are shorter than a vector
/// or the stride is not 1, in a copy of the image per kernel position.
struct Patches {
    /// One table per block of inputs.
    starts: Vec<Starts>,
    /// Rows and columns of the padded image.
    padded: [usize; 2],
    /// Whether there is a copy per kernel position.
    unfolded: bool,
}

impl Patches {
    fn new(s: &ConvShape, lanes: usize) -> Self {
        let unfolded = s.stride != 1 || (s.wo < lanes && s.kernel > 1);
        // What the kernel reaches: the last output's start plus the kernel.
        let padded = [(s.ho - 1) * s.stride + s.kernel, (s.wo - 1) * s.stride + s.kernel];
        let mut starts = Vec::with_capacity(s.cin * s.kernel * s.kernel);
        for k in 0..s.cin * s.kernel * s.kernel {
            let (c, i, j) = (k / (s.kernel * s.kernel), k / s.kernel % s.kernel, k % s.kernel);
            starts.push(if unfolded { k * s.ho * s.wo } else { (c * padded[0] + i) * padded[1] + j });
        }
        let starts = starts.chunks(BLOCK).map(|block| Starts::new(block.to_vec())).collect();
        Self { starts, padded, unfolded }
    }

    /// The runs that cover the output: pieces of rows, or of the whole image where rows follow without a gap.
    fn runs(&self, s: &ConvShape, lanes: usize) -> Vec<Run> {
        let gapless = self.unfolded || self.padded[1] == s.wo;
        let (rows, width) = if gapless { (1, s.ho * s.wo) } else { (s.ho, s.wo) };
        (0..rows).flat_map(|row| runs(row * self.padded[1], row * width, width, lanes)).collect()
    }

    /// Copies one image `(cin, h, w)` into `buffer` as described above.
    fn fill<'a>(&self, s: &ConvShape, x: &[f32], buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let [ph, pw] = self.padded;
        buffer.clear();
        if !self.unfolded {
            buffer.resize(s.cin * ph * pw + SLACK, 0.0);
            let width = s.w.min(pw - s.pad);
            for (x, plane) in x.chunks(s.h * s.w).zip(buffer.chunks_mut(ph * pw)) {
                for (x, row) in x.chunks(s.w).zip(plane.chunks_mut(pw).skip(s.pad)) {
                    row[s.pad..s.pad + width].copy_from_slice(&x[..width]);
                }
            }
        } else {
            let pixels = s.ho * s.wo;
            let depth = s.cin * s.kernel * s.kernel;
            buffer.resize(depth * pixels + SLACK, 0.0);
            for (k, plane) in buffer.chunks_mut(pixels).enumerate().take(depth) {
                let (c, i, j) = (k / (s.kernel * s.kernel), k / s.kernel % s.kernel, k % s.kernel);
                let x = &x[c * s.h * s.w..][..s.h * s.w];
                for (row, values) in plane.chunks_mut(s.wo).enumerate() {
                    // Coordinates in the image; the border wraps to huge numbers.
                    let row = (row * s.stride + i).wrapping_sub(s.pad);
                    if row < s.h {
                        for (column, value) in values.iter_mut().enumerate() {
                            let column = (column * s.stride + j).wrapping_sub(s.pad);
                            if column < s.w {
                                *value = x[row * s.w + column];
                            }
                        }
                    }
                }
            }
        }
        buffer
    }
}

/// Adds the gradient of the input.
pub(super) fn backward_input(s: &ConvShape, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    let taps = s.kernel * s.kernel;
    if s.stride == 1 && s.pad < s.kernel {
        // An input pixel is reached by the outputs around it through the kernel turned by 180 degrees.
        let turned =
            ConvShape { cin: s.cout, cout: s.cin, h: s.ho, w: s.wo, ho: s.h, wo: s.w, pad: s.kernel - 1 - s.pad, ..*s };
        if winograd::suits(&turned) {
            let at = |c: usize, o: usize, k: usize| w[(o * s.cin + c) * 9 + 8 - k];
            return winograd::correlate(&turned, dy, at, None, dx, true);
        }
        let packed = pack(s.cin, s.cout * taps, |c, k| w[(k / taps * s.cin + c) * taps + taps - 1 - k % taps]);
        return correlate(&turned, dy, &packed, None, dx, true);
    }
    // Gradients of all (channel, kernel position) inputs of every output pixel, then added where they came from.
    let pixels = s.ho * s.wo;
    let depth = s.cin * taps;
    let columns = ConvShape {
        cin: s.cout,
        cout: depth,
        h: s.ho,
        w: s.wo,
        ho: s.ho,
        wo: s.wo,
        kernel: 1,
        stride: 1,
        pad: 0,
        ..*s
    };
    let packed = pack(depth, s.cout, |k, o| w[o * depth + k]);
    let mut gradient = vec![0.0; s.batch * depth * pixels];
    correlate(&columns, dy, &packed, None, &mut gradient, true);
    dx.par_chunks_mut(s.h * s.w).zip(gradient.par_chunks(taps * pixels)).for_each(|(dx, gradient)| {
        for (k, plane) in gradient.chunks(pixels).enumerate() {
            for (p, value) in plane.iter().enumerate() {
                let row = (p / s.wo * s.stride + k / s.kernel).wrapping_sub(s.pad);
                let column = (p % s.wo * s.stride + k % s.kernel).wrapping_sub(s.pad);
                if row < s.h && column < s.w {
                    dx[row * s.w + column] += value;
                }
            }
        }
    });
}

/// Images are summed in this many groups, whatever the number of threads, so that the result is the same.
const GROUPS: usize = 8;

/// Adds the gradient of the weight.
pub(super) fn backward_weight(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    if winograd::suits(s) {
        return winograd::backward_weight(s, x, dy, dw);
    }
    let lanes = lanes();
    let taps = s.kernel * s.kernel;
    let (ph, pw) =
        (((s.ho - 1) * s.stride + s.kernel).max(s.h + s.pad), ((s.wo - 1) * s.stride + s.kernel).max(s.w + s.pad));
    let pixels = s.ho * s.wo;
    let (image, result, padded_image) = (s.cin * s.h * s.w, s.cout * pixels, ph * pw * s.cin);
    let per_group = s.batch.div_ceil(GROUPS);
    // So many images are taken together that k is long enough to pay.
    let together = (BLOCK / pixels).clamp(1, per_group);
    // k runs over the output pixels of these images: where each finds its input among the padded images.
    let start = |p: usize| (p / pixels) * padded_image + (p % pixels / s.wo * pw + p % s.wo) * s.stride * s.cin;
    let starts: Vec<usize> = (0..together * pixels).map(start).collect();
    // j runs over (kernel row) x (kernel column, channel): the latter lie next to each other.
    let mut taken = Vec::new();
    let width = s.kernel * s.cin;
    for i in 0..s.kernel {
        taken.extend(runs(i * pw * s.cin, i * width, width, lanes));
    }
    let row = taps * s.cin;
    let sum_group = |group: usize| {
        let mut sums = vec![0.0; s.cout.div_ceil(ROWS) * ROWS * row];
        let mut padded = vec![0.0; together * padded_image + SLACK];
        let mut gradient = vec![0.0; s.cout.div_ceil(ROWS) * ROWS * together * pixels];
        let images: Vec<usize> = (group * per_group..((group + 1) * per_group).min(s.batch)).collect();
        for images in images.chunks(together) {
            let depth = images.len() * pixels;
            for (i, n) in images.iter().enumerate() {
                channels_last(s, pw, &x[n * image..][..image], &mut padded[i * padded_image..]);
                for (o, dy) in dy[n * result..][..result].chunks(pixels).enumerate() {
                    gradient[o * depth + i * pixels..][..pixels].copy_from_slice(dy);
                }
            }
            for (block, starts) in starts[..depth].chunks(BLOCK).enumerate() {
                let starts = &Starts::new(starts.to_vec());
                for runs in taken.chunks(VECTORS) {
                    arch().dispatch(Tiles {
                        a: &gradient[block * BLOCK..],
                        a_panel: ROWS * depth,
                        a_row: depth,
                        a_column: 1,
                        b: &padded,
                        starts,
                        runs,
                        out: &mut sums,
                        out_row: row,
                        rows: s.cout,
                        accumulate: true,
                    });
                }
            }
        }
        sums
    };
    let partial: Vec<Vec<f32>> = (0..s.batch.div_ceil(per_group)).into_par_iter().map(sum_group).collect();
    // From (kernel row, kernel column, channel) to (channel, kernel row, kernel column).
    dw.par_chunks_mut(row).enumerate().for_each(|(o, dw)| {
        for sums in &partial {
            let sums = &sums[o * row..][..row];
            for c in 0..s.cin {
                for tap in 0..taps {
                    dw[c * taps + tap] += sums[tap * s.cin + c];
                }
            }
        }
    });
}

/// Copies one image `(cin, h, w)` into the middle of a padded one, `(h, w, cin)`, whose border stays zero.
fn channels_last(s: &ConvShape, padded_width: usize, x: &[f32], padded: &mut [f32]) {
    for i in 0..s.h {
        let row = &mut padded[((i + s.pad) * padded_width + s.pad) * s.cin..][..s.w * s.cin];
        for c in 0..s.cin {
            let x = &x[(c * s.h + i) * s.w..][..s.w];
            for (j, &value) in x.iter().enumerate() {
                row[j * s.cin + c] = value;
            }
        }
    }
}
