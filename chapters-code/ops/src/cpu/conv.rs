//! Convolution without building the matrix that it multiplies by.
//!
//! All three passes are sums of the form `out[i][j] = Σ_k a[i][k] · b[k][j]`, where a row `b[k]` is a run of
//! neighbouring numbers in an image that lies ready in memory: only its start has to be known. So one small kernel,
//! [`tile`], does them all. It keeps a tile of the result, 4 rows by up to 2 vectors, in registers while it runs
//! over all k, and looks up where each `b[k]` starts in a table.
//!
//! - Forward: `a` is the weight, k runs over input channel and kernel position, `b[k]` is the image shifted by
//!   that kernel position. A copy of the image with its border of zeros serves all positions.
//! - Gradient of the input, stride 1: the same, with the weight turned around. Other strides scatter instead.
//! - Gradient of the weight: `a` is the output's gradient, k runs over pixels, `b[k]` are the channels at that
//!   pixel, for which the padded image is kept with channels last.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::forced::arch;
use crate::ConvShape;

/// Rows of the result in one tile. Eight sums keep both multipliers of a core busy, and with two vectors of `b` and one of `a`
/// they fit into the sixteen registers of AVX2 (twelve sums did not: the compiler moved one to memory and back).
const ROWS: usize = 4;
/// Vectors of the result in one tile.
const VECTORS: usize = 2;
/// Inputs (k) per block of work: as many as fit into the nearest cache beside the rest.
const BLOCK: usize = 256;
/// Numbers behind the end of a buffer that a vector may read but nobody uses.
const SLACK: usize = 16;

/// A run of at most one vector of neighbouring results.
#[derive(Clone, Copy, Default)]
struct Run {
    /// Added to every entry of the table of starts.
    source: usize,
    /// Where in a row of the result the run begins.
    target: usize,
    len: usize,
}

/// Where each `b[k]` starts, and the largest of these numbers.
struct Starts {
    offsets: Vec<usize>,
    max: usize,
}

impl Starts {
    fn new(offsets: Vec<usize>) -> Self {
        let max = offsets.iter().copied().max().expect("a convolution has inputs");
        Self { offsets, max }
    }
}

/// `out[i][j] += Σ_k a[i][k] · b[k][j]` for four rows i and up to two runs of j.
///
/// `a[i][k]` is at `i · a_row + k · a_column`; `b[k][j]` of a run at `starts[k] + run.source + j`; `out[i][j]` at
/// `i · out_row + run.target + j`. Rows from `rows` on are computed but not stored.
struct Tiles<'a> {
    a: &'a [f32],
    a_row: usize,
    a_column: usize,
    b: &'a [f32],
    starts: &'a Starts,
    runs: &'a [Run],
    out: &'a mut [f32],
    out_row: usize,
    rows: usize,
}

impl WithSimd for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let last_a = (ROWS - 1) * self.a_row + (self.starts.offsets.len() - 1) * self.a_column;
        assert!(last_a < self.a.len());
        let reach = self.starts.max + self.runs.iter().map(|r| r.source).max().unwrap_or(0);
        assert!(reach + S::F32_LANES <= self.b.len());
        let mut runs = self.runs;
        while !runs.is_empty() {
            // SAFETY: the two assertions hold for every entry of `starts` and every run.
            let used = unsafe {
                match runs.len() {
                    1 => tile::<S, 1>(simd, &mut self, runs),
                    _ => tile::<S, VECTORS>(simd, &mut self, runs),
                }
            };
            runs = &runs[used..];
        }
    }
}

/// Computes and stores the first `N` runs; returns `N`.
///
/// The loops over `ROWS` and `N` have constant bounds, so the compiler unrolls them and keeps `sums` in registers.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // iterators here end up in memory
unsafe fn tile<S: Simd, const N: usize>(simd: S, t: &mut Tiles, runs: &[Run]) -> usize {
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; N]; ROWS];
    let mut a = t.a.as_ptr();
    let (row, column) = (t.a_row, t.a_column);
    let mut bases = [t.b.as_ptr(); N];
    for j in 0..N {
        bases[j] = bases[j].add(runs[j].source);
    }
    for &start in &t.starts.offsets {
        let mut b = [zero; N];
        for j in 0..N {
            b[j] = load::<S>(bases[j].add(start));
        }
        for i in 0..ROWS {
            let a = simd.splat_f32s(*a.add(i * row));
            for j in 0..N {
                sums[i][j] = simd.mul_add_e_f32s(a, b[j], sums[i][j]);
            }
        }
        a = a.add(column);
    }
    for i in 0..ROWS {
        for j in 0..N {
            if i < t.rows {
                let out = &mut t.out[i * t.out_row + runs[j].target..][..runs[j].len];
                add_to(simd, sums[i][j], out);
            }
        }
    }
    N
}

/// A vector from any address.
#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    std::ptr::read_unaligned(from as *const S::f32s)
}

/// Adds the first numbers of a vector to `out`.
#[inline(always)]
fn add_to<S: Simd>(simd: S, sum: S::f32s, out: &mut [f32]) {
    if out.len() == S::F32_LANES {
        // SAFETY: `out` is exactly one vector long.
        unsafe {
            let total = simd.add_f32s(load::<S>(out.as_ptr()), sum);
            std::ptr::write_unaligned(out.as_mut_ptr() as *mut S::f32s, total);
        }
    } else {
        let mut values = [0.0f32; SLACK];
        // SAFETY: no vector is longer than SLACK.
        unsafe { std::ptr::write_unaligned(values.as_mut_ptr() as *mut S::f32s, sum) };
        for (out, value) in out.iter_mut().zip(values) {
            *out += value;
        }
    }
}

/// How many numbers one vector of the current instruction set holds.
fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    arch().dispatch(Lanes)
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
        with_scratch(|buffer| {
            let source = patch.fill(s, &x[n * image..][..image], buffer);
            // All output channels for a few runs and a block of inputs, so that these stay in the nearest cache.
            for runs in runs.chunks(VECTORS) {
                for (block, starts) in patch.starts.iter().enumerate() {
                    for (panel, y) in y.chunks_mut(ROWS * pixels).enumerate() {
                        let rows = y.len() / pixels;
                        let a =
                            &packed[((first + panel) * depth + block * BLOCK) * ROWS..][..starts.offsets.len() * ROWS];
                        arch().dispatch(Tiles {
                            a,
                            a_row: 1,
                            a_column: ROWS,
                            b: source,
                            starts,
                            runs,
                            out: y,
                            out_row: pixels,
                            rows,
                        });
                    }
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

/// Lends `work` memory that this thread keeps from one call to the next.
fn with_scratch<R>(work: impl FnOnce(&mut Vec<f32>) -> R) -> R {
    thread_local!(static SCRATCH: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) });
    SCRATCH.with(|scratch| work(&mut scratch.borrow_mut()))
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
        let mut runs = Vec::new();
        for row in 0..rows {
            for column in (0..width).step_by(lanes) {
                let source = row * self.padded[1] + column;
                runs.push(Run { source, target: row * width + column, len: lanes.min(width - column) });
            }
        }
        runs
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
    let mut runs = Vec::new();
    let width = s.kernel * s.cin;
    for i in 0..s.kernel {
        for column in (0..width).step_by(lanes) {
            runs.push(Run {
                source: i * pw * s.cin + column,
                target: i * width + column,
                len: lanes.min(width - column),
            });
        }
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
                for runs in runs.chunks(VECTORS) {
                    for (panel, out) in sums.chunks_mut(ROWS * row).enumerate() {
                        let a = &gradient[panel * ROWS * depth + block * BLOCK..];
                        arch().dispatch(Tiles {
                            a,
                            a_row: depth,
                            a_column: 1,
                            b: &padded,
                            starts,
                            runs,
                            out,
                            out_row: row,
                            rows: ROWS,
                        });
                    }
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
