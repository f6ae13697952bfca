//! Convolution.
//!
//! Most convolutions of a U-Net are 3×3 with many channels; those go the short way of [`winograd`]. The others are matrix products.
//! With an image *unfolded* to a matrix of (channel and kernel position) × (pixel of the result), where each number stands as often
//! as the kernel reads it, and with the weight as a matrix of (output channel) × (channel and kernel position),
//!
//! ```text
//! y = w · unfold(x)        dx = fold(wᵀ · dy)        dw = dy · unfold(x)ᵀ
//! ```
//!
//! where folding adds each number to the pixel that it came from. A 1×1 convolution has nothing to unfold.
//!
//! To unfold an image of many channels for a result of few (the last layer of a U-Net) would take longer than the product. There,
//! the convolution is computed as what it is, too: the gradient of another one, from few channels to many.

use std::ops::Range;

use rayon::prelude::*;

use super::dense::{matmul, Matrix};
use super::forced::vectorized;
use super::tiles::{any, with_scratch};
use super::winograd;
use crate::{Added, ConvShape};

impl ConvShape {
    /// Kernel positions.
    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Rows of an unfolded image.
    fn depth(&self) -> usize {
        self.cin * self.taps()
    }

    /// Columns of an unfolded image.
    fn pixels(&self) -> usize {
        self.ho * self.wo
    }

    /// The outputs whose input at kernel position `i` is not in the border, along an axis of `len` inputs.
    fn inside(&self, i: usize, len: usize, outputs: usize) -> Range<usize> {
        let first = self.pad.saturating_sub(i).div_ceil(self.stride);
        let end = (len + self.pad).saturating_sub(i).div_ceil(self.stride).min(outputs);
        first..end.max(first)
    }

    /// Whether an image is its own unfolded matrix.
    fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.pad == 0
    }

    /// The convolution whose gradient this one is, if its result is so narrow that this pays: output and input change sides, and
    /// the kernel is turned by 180 degrees.
    fn narrow(&self) -> Option<Self> {
        (self.stride == 1 && self.pad < self.kernel && !self.is_pointwise() && 8 * self.cout <= self.cin)
            .then(|| self.reversed())
    }

    /// Output and input change sides. Only for stride 1 and a border below the kernel's width.
    fn reversed(&self) -> Self {
        Self {
            cin: self.cout,
            cout: self.cin,
            h: self.ho,
            w: self.wo,
            ho: self.h,
            wo: self.w,
            pad: self.kernel - 1 - self.pad,
            ..*self
        }
    }

    /// From a weight `(cout, cin, k, k)` to `(cin, cout, k, k)` with every kernel turned by 180 degrees, added to what is there.
    fn turn(&self, w: &[f32], to: &mut [f32]) {
        let taps = self.taps();
        for (o, w) in w.chunks(self.depth()).enumerate() {
            for (c, w) in w.chunks(taps).enumerate() {
                let to = &mut to[(c * self.cout + o) * taps..][..taps];
                to.iter_mut().rev().zip(w).for_each(|(to, w)| *to += w);
            }
        }
    }
}

/// What was there before the products are added.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    /// The result's own numbers.
    Itself,
    Added(Added<&'a [f32]>),
}

impl Base<'_> {
    pub const NOTHING: Self = Base::Added(Added { bias: None, channels: None, images: None });

    /// For one output channel of one image: a number for all pixels, and, if there are some, numbers for each.
    pub(super) fn plane(&self, s: &ConvShape, n: usize, o: usize) -> (f32, Option<&[f32]>) {
        let Base::Added(Added { bias, channels, images }) = self else { return (0.0, None) };
        let (plane, pixels) = (n * s.cout + o, s.pixels());
        let constant = bias.map_or(0.0, |b| b[o]) + channels.map_or(0.0, |c| c[plane]);
        (constant, images.map(|images| &images[plane * pixels..][..pixels]))
    }

    /// Puts it into some output channels, from `first` on, of image number `n`.
    fn fill(&self, s: &ConvShape, n: usize, first: usize, y: &mut [f32]) {
        let Base::Added(_) = self else { return };
        for (o, plane) in y.chunks_mut(s.pixels()).enumerate() {
            match self.plane(s, n, first + o) {
                (constant, None) => plane.fill(constant),
                (constant, Some(image)) => plane.iter_mut().zip(image).for_each(|(y, v)| *y = v + constant),
            }
        }
    }
}

/// `y = conv(x, w) + added`.
pub(super) fn forward(
    s: &ConvShape,
    x: &[f32],
    w: &[f32],
    memo: Option<&winograd::Memo>,
    added: Added<&[f32]>,
    y: &mut [f32],
) {
    let base = Base::Added(added);
    if winograd::suits(s, memo) {
        let weight = winograd::Weight { w, of_output: s.depth(), of_input: 9, turned: false };
        return winograd::correlate(s, x, weight, memo, base, y);
    }
    match s.narrow() {
        Some(reversed) => spread(&reversed, &turned(s, w), x, s, base, y),
        None => gather(s, x, w, base, y),
    }
}

/// The gradient of the input, added to what is there already or to nothing.
pub(super) fn backward_input(s: &ConvShape, w: &[f32], dy: &[f32], base: Base, dx: &mut [f32]) {
    if s.stride == 1 && s.pad < s.kernel {
        let reversed = s.reversed();
        if winograd::suits(&reversed, None) {
            let weight = winograd::Weight { w, of_output: s.taps(), of_input: s.depth(), turned: true };
            return winograd::correlate(&reversed, dy, weight, None, base, dx);
        }
    }
    match s.narrow() {
        Some(reversed) => gather(&reversed, dy, &turned(s, w), base, dx),
        // An input has the place that an output has elsewhere: only its size counts here.
        None => spread(s, w, dy, &ConvShape { cout: s.cin, ho: s.h, wo: s.w, ..*s }, base, dx),
    }
}

/// Adds the gradient of the weight.
pub(super) fn backward_weight(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    if winograd::suits(s, None) {
        return winograd::backward_weight(s, x, dy, dw);
    }
    match s.narrow() {
        Some(reversed) => {
            let mut gradient = vec![0.0; dw.len()];
            weight_gradient(&reversed, dy, x, &mut gradient);
            reversed.turn(&gradient, dw);
        }
        None => weight_gradient(s, x, dy, dw),
    }
}

/// A weight for [`ConvShape::narrow`].
fn turned(s: &ConvShape, w: &[f32]) -> Vec<f32> {
    let mut turned = vec![0.0; w.len()];
    s.turn(w, &mut turned);
    turned
}

/// Numbers of an unfolded image that are made before they are used: as many as the second cache holds beside the rest.
const TOGETHER: usize = 64 * 1024;

/// Calls `work` for every image of a result, or, if there are fewer images than threads, for parts of its channels: with the
/// image's number, the first of the channels, and the channels.
fn shared(batch: usize, channels: usize, pixels: usize, y: &mut [f32], work: impl Fn(usize, usize, &mut [f32]) + Sync) {
    let threads_per_image = rayon::current_num_threads() / batch;
    let part = match threads_per_image {
        0 | 1 => channels,
        // Not one alone, which the matrix product would do in another way, with another rounding.
        threads => channels.div_ceil(threads).next_multiple_of(4),
    };
    y.par_chunks_mut(channels * pixels).enumerate().for_each(|(n, y)| {
        y.par_chunks_mut(part * pixels).enumerate().for_each(|(i, y)| work(n, i * part, y));
    });
}

/// `y = base + w · unfold(x)`
fn gather(s: &ConvShape, x: &[f32], w: &[f32], base: Base, y: &mut [f32]) {
    let (taps, depth, pixels, image) = (s.taps(), s.depth(), s.pixels(), s.cin * s.h * s.w);
    let together = (TOGETHER / (taps * pixels)).max(1);
    shared(s.batch, s.cout, pixels, y, |n, first, y| {
        base.fill(s, n, first, y);
        let (x, w, rows) = (&x[n * image..][..image], &w[first * depth..], y.len() / pixels);
        if s.is_pointwise() {
            return matmul([rows, pixels, depth], Matrix::rows(w, depth), Matrix::rows(x, pixels), 1.0, 1.0, y);
        }
        with_scratch(|[buffer]| {
            for (i, x) in x.chunks(together * s.h * s.w).enumerate() {
                let some = x.len() / (s.h * s.w) * taps;
                let unfolded = any(buffer, some * pixels);
                unfold(s, x, unfolded, pixels);
                let w = Matrix::rows(&w[i * together * taps..], depth);
                matmul([rows, pixels, some], w, Matrix::rows(unfolded, pixels), 1.0, 1.0, y);
            }
        })
    });
}

/// `dx = base + fold(wᵀ · dy)`; `input` is what `base` is told.
fn spread(s: &ConvShape, w: &[f32], dy: &[f32], input: &ConvShape, base: Base, dx: &mut [f32]) {
    let (taps, depth, pixels, result) = (s.taps(), s.depth(), s.pixels(), s.cout * s.pixels());
    let together = (TOGETHER / (taps * pixels)).max(1);
    shared(s.batch, s.cin, s.h * s.w, dx, |n, first, dx| {
        base.fill(input, n, first, dx);
        let (dy, w) = (Matrix::rows(&dy[n * result..][..result], pixels), &w[first * taps..]);
        if s.is_pointwise() {
            return matmul([dx.len() / pixels, pixels, s.cout], Matrix::columns(w, depth), dy, 1.0, 1.0, dx);
        }
        with_scratch(|[buffer]| {
            for (i, dx) in dx.chunks_mut(together * s.h * s.w).enumerate() {
                let some = dx.len() / (s.h * s.w) * taps;
                let unfolded = any(buffer, some * pixels);
                let w = Matrix::columns(&w[i * together * taps..], depth);
                matmul([some, pixels, s.cout], w, dy, 1.0, 0.0, unfolded);
                fold(s, unfolded, dx);
            }
        })
    });
}

/// Images are summed in this many groups, whatever the number of threads, so that the result is the same.
const GROUPS: usize = 8;
/// At least so many pixels make a product of the gradient of a weight, if there are so many.
const LONG: usize = 256;

/// `dw += dy · unfold(x)ᵀ`, for all images.
fn weight_gradient(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, pixels) = (s.depth(), s.pixels());
    let (image, result) = (s.cin * s.h * s.w, s.cout * pixels);
    let per_group = s.batch.div_ceil(GROUPS);
    let together = LONG.div_ceil(pixels).min(per_group);
    let groups = x.par_chunks(per_group * image).zip(dy.par_chunks(per_group * result));
    let sum_group = |(x, dy): (&[f32], &[f32])| {
        let mut sums = vec![0.0; s.cout * depth];
        with_scratch(|[unfolded, gradient]| {
            for (x, dy) in x.chunks(together * image).zip(dy.chunks(together * result)) {
                // The pixels of these images lie side by side: in a row for each channel.
                let row = x.len() / image * pixels;
                let x = match together {
                    1 if s.is_pointwise() => x,
                    _ => unfold_side_by_side(s, x, any(unfolded, depth * row), row),
                };
                let dy = match together {
                    1 => dy,
                    _ => copy_side_by_side(s, dy, any(gradient, s.cout * row), row),
                };
                let (x, dy) = (Matrix::columns(x, row), Matrix::rows(dy, row));
                matmul([s.cout, depth, row], dy, x, 1.0, 1.0, &mut sums);
            }
        });
        sums
    };
    let partial: Vec<Vec<f32>> = groups.map(sum_group).collect();
    dw.par_chunks_mut(depth).enumerate().for_each(|(o, dw)| {
        for sums in &partial {
            dw.iter_mut().zip(&sums[o * depth..]).for_each(|(dw, sum)| *dw += sum);
        }
    });
}

/// Unfolds some images side by side.
fn unfold_side_by_side<'a>(s: &ConvShape, images: &[f32], to: &'a mut [f32], row: usize) -> &'a [f32] {
    for (i, x) in images.chunks(s.cin * s.h * s.w).enumerate() {
        unfold(s, x, &mut to[i * s.pixels()..], row);
    }
    to
}

/// Copies the results of some images side by side.
fn copy_side_by_side<'a>(s: &ConvShape, images: &[f32], to: &'a mut [f32], row: usize) -> &'a [f32] {
    let pixels = s.pixels();
    for (i, y) in images.chunks(s.cout * pixels).enumerate() {
        for (y, to) in y.chunks(pixels).zip(to[i * pixels..].chunks_mut(row)) {
            to[..pixels].copy_from_slice(y);
        }
    }
    to
}

/// Unfolds some channels `(h, w)`; the rows of the result are `row` apart.
fn unfold(s: &ConvShape, x: &[f32], to: &mut [f32], row: usize) {
    vectorized(
        #[inline(always)]
        |_| {
            for (x, to) in x.chunks(s.h * s.w).zip(to.chunks_mut(s.taps() * row)) {
                for (k, to) in to.chunks_mut(row).enumerate() {
                    unfold_position(s, x, k, &mut to[..s.pixels()]);
                }
            }
        },
    )
}

/// One channel as kernel position number `k` sees it.
#[inline(always)]
fn unfold_position(s: &ConvShape, x: &[f32], k: usize, to: &mut [f32]) {
    let (i, j) = (k / s.kernel, k % s.kernel);
    let (rows, columns) = (s.inside(i, s.h, s.ho), s.inside(j, s.w, s.wo));
    let first = (columns.start * s.stride + j).wrapping_sub(s.pad);
    for (row, to) in to.chunks_exact_mut(s.wo).enumerate() {
        if !rows.contains(&row) || columns.is_empty() {
            to.fill(0.0);
            continue;
        }
        let x = &x[(row * s.stride + i - s.pad) * s.w..][first..s.w];
        to[..columns.start].fill(0.0);
        to[columns.end..].fill(0.0);
        let to = &mut to[columns.clone()];
        match s.stride {
            1 => to.copy_from_slice(&x[..to.len()]),
            _ => to.iter_mut().zip(x.iter().step_by(s.stride)).for_each(|(to, &x)| *to = x),
        }
    }
}

/// Adds the numbers of some unfolded channels to the pixels that they came from.
fn fold(s: &ConvShape, unfolded: &[f32], x: &mut [f32]) {
    vectorized(
        #[inline(always)]
        |_| {
            for (from, x) in unfolded.chunks(s.taps() * s.pixels()).zip(x.chunks_mut(s.h * s.w)) {
                for (k, from) in from.chunks(s.pixels()).enumerate() {
                    fold_position(s, from, k, x);
                }
            }
        },
    )
}

/// Adds what kernel position number `k` has seen of one channel.
#[inline(always)]
fn fold_position(s: &ConvShape, from: &[f32], k: usize, x: &mut [f32]) {
    let (i, j) = (k / s.kernel, k % s.kernel);
    let (rows, columns) = (s.inside(i, s.h, s.ho), s.inside(j, s.w, s.wo));
    if columns.is_empty() {
        return;
    }
    let first = columns.start * s.stride + j - s.pad;
    for row in rows {
        let x = &mut x[(row * s.stride + i - s.pad) * s.w..][first..s.w];
        let from = &from[row * s.wo..][columns.clone()];
        match s.stride {
            1 => x.iter_mut().zip(from).for_each(|(x, v)| *x += v),
            _ => x.iter_mut().step_by(s.stride).zip(from).for_each(|(x, v)| *x += v),
        }
    }
}
