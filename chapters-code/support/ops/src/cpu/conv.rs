//! Convolution.
//!
//! Most convolutions of a U-Net are 3×3 with many channels; those use the shortcut of [`winograd`].
//! The others are matrix products. With an image *unfolded* into a matrix of (channel and kernel
//! position) × (pixel of the result), where each number occurs as often as the kernel reads it, and
//! with the weight as a matrix of (output channel) × (channel and kernel position),
//!
//! ```text
//! y = w · unfold(x)        dx = fold(wᵀ · dy)        dw = dy · unfold(x)ᵀ
//! ```
//!
//! where folding adds each number to the pixel that it came from. A 1×1 convolution has nothing to
//! unfold.
//!
//! Unfolding an image of many channels for a result of few (the last layer of a U-Net) would take
//! longer than the product. Such a convolution is also the gradient of another one, from few
//! channels to many, and is computed as such.

use rayon::prelude::*;

use super::base::Base;
use super::elementwise::accumulate;
use super::gemm::{matmul, Matrix};
use super::simd::vectorized;
use super::tiles::{scratch_slice, with_scratch, SLACK};
use super::transpose::add_transposed;
use super::winograd;
use crate::shapes::{Added, ConvShape, Store};

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
        let weight =
            winograd::Filter { w, output_stride: s.depth(), input_stride: 9, flipped: false };
        return winograd::correlate(s, x, weight, memo, base, y);
    }
    match s.narrow() {
        Some(reversed) => spread(&reversed, &flipped(s, w), x, s, base, y),
        None => gather(s, x, w, base, y),
    }
}

/// The gradient of the input.
pub(super) fn backward_input(s: &ConvShape, w: &[f32], dy: &[f32], store: Store, dx: &mut [f32]) {
    let base = Base::from(store);
    if s.is_reversible() {
        let reversed = s.reversed();
        if winograd::suits(&reversed, None) {
            let weight = winograd::Filter {
                w,
                output_stride: s.taps(),
                input_stride: s.depth(),
                flipped: true,
            };
            return winograd::correlate(&reversed, dy, weight, None, base, dx);
        }
    }
    match s.narrow() {
        Some(reversed) => gather(&reversed, dy, &flipped(s, w), base, dx),
        // The input takes the place of an output here: only its size counts.
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
            reversed.flip(&gradient, dw);
        }
        None => weight_gradient(s, x, dy, dw),
    }
}

/// A weight for [`ConvShape::narrow`].
fn flipped(s: &ConvShape, w: &[f32]) -> Vec<f32> {
    let mut flipped = vec![0.0; w.len()];
    s.flip(w, &mut flipped);
    flipped
}

/// How many numbers of an unfolded image are made before they are used: as many as the second-level
/// cache holds besides everything else.
const UNFOLDED_LEN: usize = 64 * 1024;

/// Calls `work` for every image of a result, or, if there are fewer images than threads, for parts
/// of its channels. `work` gets the image's number, the first of these channels, and their part of
/// the result.
fn shared(
    batch: usize,
    channels: usize,
    pixels: usize,
    y: &mut [f32],
    work: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    // A product of one row or one column is computed differently, with different rounding, so an
    // image of one pixel stays whole, and no channel is left alone.
    let mut part = match rayon::current_num_threads() / batch {
        threads if threads > 1 && pixels > 1 => channels.div_ceil(threads).next_multiple_of(4),
        _ => channels,
    };
    while channels % part == 1 && part < channels {
        part += 4;
    }
    y.par_chunks_mut(channels * pixels).enumerate().for_each(|(n, y)| {
        y.par_chunks_mut(part * pixels).enumerate().for_each(|(i, y)| work(n, i * part, y));
    });
}

/// `y = base + w · unfold(x)`
fn gather(s: &ConvShape, x: &[f32], w: &[f32], base: Base, y: &mut [f32]) {
    let (taps, depth, pixels, image) = (s.taps(), s.depth(), s.pixels(), s.cin * s.h * s.w);
    let together = (UNFOLDED_LEN / (taps * pixels)).max(1);
    shared(s.batch, s.cout, pixels, y, |n, first, y| {
        base.fill(s, n, first, y);
        let (x, w, rows) = (&x[n * image..][..image], &w[first * depth..], y.len() / pixels);
        if s.is_pointwise() {
            return matmul(
                [rows, pixels, depth],
                Matrix::rows(w, depth),
                Matrix::rows(x, pixels),
                1.0,
                1.0,
                y,
            );
        }
        with_scratch(|[buffer, border]| {
            for (i, x) in x.chunks(together * s.h * s.w).enumerate() {
                let some = x.len() / (s.h * s.w) * taps;
                let unfolded = scratch_slice(buffer, some * pixels);
                unfold(s, x, unfolded, pixels, border);
                let w = Matrix::rows(&w[i * together * taps..], depth);
                matmul([rows, pixels, some], w, Matrix::rows(unfolded, pixels), 1.0, 1.0, y);
            }
        })
    });
}

/// `dx = base + fold(wᵀ · dy)`; `input` is the shape that `base` is given.
fn spread(s: &ConvShape, w: &[f32], dy: &[f32], input: &ConvShape, base: Base, dx: &mut [f32]) {
    let (taps, depth, pixels, result) = (s.taps(), s.depth(), s.pixels(), s.cout * s.pixels());
    let together = (UNFOLDED_LEN / (taps * pixels)).max(1);
    shared(s.batch, s.cin, s.h * s.w, dx, |n, first, dx| {
        base.fill(input, n, first, dx);
        let (dy, w) = (Matrix::rows(&dy[n * result..][..result], pixels), &w[first * taps..]);
        if s.is_pointwise() {
            return matmul(
                [dx.len() / pixels, pixels, s.cout],
                Matrix::columns(w, depth),
                dy,
                1.0,
                1.0,
                dx,
            );
        }
        with_scratch(|[buffer, border]| {
            for (i, dx) in dx.chunks_mut(together * s.h * s.w).enumerate() {
                let some = dx.len() / (s.h * s.w) * taps;
                let unfolded = scratch_slice(buffer, some * pixels);
                let w = Matrix::columns(&w[i * together * taps..], depth);
                matmul([some, pixels, s.cout], w, dy, 1.0, 0.0, unfolded);
                fold(s, unfolded, dx, border);
            }
        })
    });
}

/// Images are summed in this many groups, whatever the number of threads, so that the result is
/// always the same.
const GROUPS: usize = 4;
/// Images are concatenated until a product has at least this many columns; narrower products are
/// inefficient, and so is copying more images.
const MIN_PRODUCT_LEN: usize = 48;

/// `dw += dy · unfold(x)ᵀ`, for all images. The product is computed transposed: then the factor
/// that has to be transposed is the gradient, which is smaller than the unfolded image.
fn weight_gradient(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, pixels) = (s.depth(), s.pixels());
    let (image, result) = (s.cin * s.h * s.w, s.cout * pixels);
    let per_group = s.batch.div_ceil(GROUPS);
    let together = MIN_PRODUCT_LEN.div_ceil(pixels).min(per_group);
    let groups = x.par_chunks(per_group * image).zip(dy.par_chunks(per_group * result));
    let sum_group = |(x, dy): (&[f32], &[f32])| {
        let mut sums = vec![0.0; depth * s.cout + SLACK];
        with_scratch(|[unfolded, gradient, border]| {
            for (x, dy) in x.chunks(together * image).zip(dy.chunks(together * result)) {
                // The pixels of these images are side by side: one row for each channel.
                let row = x.len() / image * pixels;
                let x = match together {
                    1 if s.is_pointwise() => x,
                    _ => {
                        unfold_side_by_side(s, x, scratch_slice(unfolded, depth * row), row, border)
                    }
                };
                let dy = match together {
                    1 => dy,
                    _ => copy_side_by_side(s, dy, scratch_slice(gradient, s.cout * row), row),
                };
                let (x, dy) = (Matrix::rows(x, row), Matrix::columns(dy, row));
                matmul([depth, s.cout, row], x, dy, 1.0, 1.0, &mut sums);
            }
        });
        sums
    };
    let partial: Vec<Vec<f32>> = groups.map(sum_group).collect();
    let mut partial = partial.into_iter();
    let mut total = partial.next().expect("a batch has images");
    partial.for_each(|sums| accumulate(&sums, &mut total));
    add_transposed(&total, s.cout, dw, depth);
}

/// Unfolds some images side by side.
fn unfold_side_by_side<'a>(
    s: &ConvShape,
    images: &[f32],
    to: &'a mut [f32],
    row: usize,
    border: &mut Vec<f32>,
) -> &'a [f32] {
    for (i, x) in images.chunks(s.cin * s.h * s.w).enumerate() {
        unfold(s, x, &mut to[i * s.pixels()..], row, border);
    }
    to
}

/// Copies the results of some images side by side.
fn copy_side_by_side<'a>(
    s: &ConvShape,
    images: &[f32],
    to: &'a mut [f32],
    row: usize,
) -> &'a [f32] {
    let pixels = s.pixels();
    for (i, y) in images.chunks(s.cout * pixels).enumerate() {
        for (y, to) in y.chunks(pixels).zip(to[i * pixels..].chunks_mut(row)) {
            to[..pixels].copy_from_slice(y);
        }
    }
    to
}

/// A channel with its border of zeros. In every row, the columns that a kernel position sees one
/// after another are side by side: for a stride of 2, first the even ones, then the odd ones.
struct Bordered {
    len: usize,
    /// Where each kernel position finds its inputs for the first row of outputs.
    positions: Vec<usize>,
    /// The distance from the inputs for one row of outputs to those for the next.
    step: usize,
    /// The pieces of the channel: where each lies here, where it lies in the channel, and how many
    /// numbers it has. In the channel, the numbers of a piece are `stride` apart.
    pieces: Vec<[usize; 3]>,
}

/// How many numbers are copied at a time.
const CHUNK: usize = 8;

impl Bordered {
    fn new(s: &ConvShape) -> Self {
        let side = |outputs: usize| (outputs - 1) * s.stride + s.kernel;
        // Columns of each kind.
        let (rows, width) = (side(s.ho), side(s.wo).div_ceil(s.stride));
        let start = |row: usize, column: usize| {
            (row * s.stride + column % s.stride) * width + column / s.stride
        };
        let mut pieces = Vec::new();
        for row in 0..s.h.min(rows - s.pad.min(rows)) {
            for first in 0..s.w.min(s.stride) {
                let at = start(row + s.pad, first + s.pad);
                let count = (s.w - first)
                    .div_ceil(s.stride)
                    .min(width - ((first + s.pad) / s.stride).min(width));
                pieces.push([at, row * s.w + first, count]);
            }
        }
        Self {
            len: rows * s.stride * width + CHUNK,
            positions: (0..s.taps()).map(|k| start(k / s.kernel, k % s.kernel)).collect(),
            step: s.stride * s.stride * width,
            pieces,
        }
    }
}

/// Unfolds some channels `(h, w)`; the rows of the result are `row` apart.
fn unfold(s: &ConvShape, x: &[f32], to: &mut [f32], row: usize, buffer: &mut Vec<f32>) {
    let Bordered { len, positions, step, pieces } = &Bordered::new(s);
    let channel = scratch_slice(buffer, *len);
    channel.fill(0.0);
    vectorized(
        #[inline(always)]
        |_| {
            for (x, to) in x.chunks(s.h * s.w).zip(to.chunks_mut(s.taps() * row)) {
                for &[at, from, count] in pieces {
                    let (to, x) = (&mut channel[at..][..count], &x[from..]);
                    match s.stride {
                        1 => to.copy_from_slice(&x[..count]),
                        _ => to
                            .iter_mut()
                            .zip(x.iter().step_by(s.stride))
                            .for_each(|(to, x)| *to = *x),
                    }
                }
                for (to, start) in to.chunks_mut(row).zip(positions) {
                    copy_position(&channel[*start..], *step, s.wo, &mut to[..s.ho * s.wo]);
                }
            }
        },
    )
}

/// Copies what a kernel position sees: rows of `width` numbers that are `step` apart.
#[inline(always)]
fn copy_position(from: &[f32], step: usize, width: usize, to: &mut [f32]) {
    let chunks = width.next_multiple_of(CHUNK);
    let mut to = to;
    let mut from = from;
    while !to.is_empty() {
        if chunks > to.len() {
            to[..width].copy_from_slice(&from[..width]);
        } else {
            // What is copied beyond the row's end is overwritten by the next rows.
            for (to, from) in to[..chunks].chunks_exact_mut(CHUNK).zip(from.chunks_exact(CHUNK)) {
                to.copy_from_slice(from);
            }
        }
        to = &mut to[width..];
        from = &from[step.min(from.len())..];
    }
}

/// Adds the numbers of some unfolded channels to the pixels that they came from.
fn fold(s: &ConvShape, unfolded: &[f32], x: &mut [f32], buffer: &mut Vec<f32>) {
    let Bordered { len, positions, step, pieces } = &Bordered::new(s);
    let channel = scratch_slice(buffer, *len);
    vectorized(
        #[inline(always)]
        |_| {
            for (from, x) in unfolded.chunks(s.taps() * s.pixels()).zip(x.chunks_mut(s.h * s.w)) {
                channel.fill(0.0);
                for (from, start) in from.chunks_exact(s.pixels()).zip(positions) {
                    for (from, sums) in
                        from.chunks_exact(s.wo).zip(channel[*start..].chunks_mut(*step))
                    {
                        sums.iter_mut().zip(from).for_each(|(sum, v)| *sum += v);
                    }
                }
                for &[at, to, count] in pieces {
                    let x = x[to..].iter_mut().step_by(s.stride);
                    x.zip(&channel[at..][..count]).for_each(|(x, v)| *x += v);
                }
            }
        },
    )
}
