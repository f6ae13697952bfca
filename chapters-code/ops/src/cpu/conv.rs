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

use std::borrow::Cow;

use rayon::prelude::*;

use super::forced::arch;
use super::tiles::{any, lanes, padded, runs, with_scratch, Run, Starts, Tiles, ROWS, SLACK, VECTORS};
use super::transpose::Pixels;
use super::winograd;
use crate::{Added, ConvShape};

impl ConvShape {
    /// The outputs whose input at kernel position `i` is not in the border, along an axis of `len` inputs.
    fn inside(&self, i: usize, len: usize, outputs: usize) -> std::ops::Range<usize> {
        let first = self.pad.saturating_sub(i).div_ceil(self.stride);
        let end = (len + self.pad).saturating_sub(i).div_ceil(self.stride).min(outputs);
        first..end.max(first)
    }
}

/// Inputs (k) per block of work: as many as fit into the nearest cache beside the rest.
const BLOCK: usize = 256;

/// The left factor of the product: one row per output channel, one column per input k.
struct Left<'a> {
    values: Cow<'a, [f32]>,
    /// From one row to the next.
    row: usize,
    /// From one column to the next.
    column: usize,
}

impl<'a> Left<'a> {
    /// Tiles read whole groups of four rows: where the last one would leave `values`, zeros are put behind.
    fn new(values: &'a [f32], rows: usize, row: usize, columns: usize, column: usize) -> Self {
        let reach = (rows.next_multiple_of(ROWS) - 1) * row + (columns - 1) * column + 1;
        Self { values: padded(values, reach), row, column }
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
        let (plane, pixels) = (n * s.cout + o, s.ho * s.wo);
        let constant = bias.map_or(0.0, |b| b[o]) + channels.map_or(0.0, |c| c[plane]);
        (constant, images.map(|images| &images[plane * pixels..][..pixels]))
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
    if winograd::suits(s, memo) {
        let weight = winograd::Weight { w, of_output: s.cin * 9, of_input: 9, turned: false };
        return winograd::correlate(s, x, weight, memo, Base::Added(added), y);
    }
    let depth = s.cin * s.kernel * s.kernel;
    correlate(s, x, &Left::new(w, s.cout, depth, depth, 1), Base::Added(added), y)
}

/// One direct convolution: its sizes, its weight, and where the numbers lie.
struct Direct<'a> {
    s: &'a ConvShape,
    w: &'a Left<'a>,
    patch: Patches,
    runs: Vec<Run>,
    base: Base<'a>,
    /// Whether the image is copied first: not if vectors may run over the image itself.
    copied: bool,
}

impl<'a> Direct<'a> {
    fn new(s: &'a ConvShape, w: &'a Left<'a>, base: Base<'a>) -> Self {
        let lanes = lanes();
        let patch = Patches::new(s, lanes);
        let whole = s.kernel == 1 && s.stride == 1 && s.pad == 0 && (s.h * s.w).is_multiple_of(lanes);
        Self { runs: patch.runs(s, lanes), s, w, patch, base, copied: !whole }
    }

    /// Some output channels, from `first` on, of image number `n`, which has been copied to `source`.
    fn channels(&self, n: usize, source: &[f32], first: usize, y: &mut [f32]) {
        let pixels = self.s.ho * self.s.wo;
        if let Base::Added(_) = self.base {
            for (o, plane) in y.chunks_mut(pixels).enumerate() {
                match self.base.plane(self.s, n, first + o) {
                    (constant, None) => plane.fill(constant),
                    (constant, Some(image)) => plane.iter_mut().zip(image).for_each(|(y, v)| *y = v + constant),
                }
            }
        }
        // All output channels for a few runs and a block of inputs, so that these stay in the nearest cache.
        let w = self.w;
        for runs in self.runs.chunks(VECTORS) {
            for (block, starts) in self.patch.starts.iter().enumerate() {
                arch().dispatch(Tiles {
                    a: &w.values[first * w.row + block * BLOCK * w.column..],
                    a_panel: ROWS * w.row,
                    a_row: w.row,
                    a_column: w.column,
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
    }

    /// The image as the kernel wants it: copied to `buffer`, or as it is.
    fn source<'b>(&self, x: &'b [f32], buffer: &'b mut Vec<f32>) -> &'b [f32] {
        if !self.copied {
            return x;
        }
        let (s, patch) = (self.s, &self.patch);
        let buffer = any(buffer, patch.len(s));
        for (x, plane) in x.chunks(s.h * s.w).zip(buffer.chunks_mut(patch.per_channel(s))) {
            patch.fill(s, x, plane);
        }
        buffer
    }
}

/// [`forward`], directly, with any weight.
fn correlate(s: &ConvShape, x: &[f32], w: &Left, base: Base, y: &mut [f32]) {
    let direct = Direct::new(s, w, base);
    let pixels = s.ho * s.wo;
    let (image, result) = (s.cin * s.h * s.w, s.cout * pixels);
    let threads = rayon::current_num_threads();
    if s.batch >= threads {
        y.par_chunks_mut(result)
            .zip(x.par_chunks(image))
            .enumerate()
            .for_each(|(n, (y, x))| with_scratch(|[buffer]| direct.channels(n, direct.source(x, buffer), 0, y)));
        return;
    }
    // Fewer images than threads: these share the output channels of each. Every thread copies the image for itself, because
    // to fetch another's copy from its cache takes longer.
    let panels = s.cout.div_ceil(ROWS);
    let per_piece = panels.div_ceil(threads.div_ceil(s.batch).min(panels)) * ROWS;
    for (n, (y, x)) in y.chunks_mut(result).zip(x.chunks(image)).enumerate() {
        let pieces = y.par_chunks_mut(per_piece * pixels).enumerate();
        pieces.for_each(|(piece, y)| {
            with_scratch(|[buffer]| direct.channels(n, direct.source(x, buffer), piece * per_piece, y))
        });
    }
}

/// Side of the largest channel, border included, that [`Patches::unfold`] copies.
const BORDERED: usize = 20;

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

    /// Numbers in the copy of one channel.
    fn per_channel(&self, s: &ConvShape) -> usize {
        if self.unfolded {
            s.kernel * s.kernel * s.ho * s.wo
        } else {
            self.padded[0] * self.padded[1]
        }
    }

    /// Numbers in the copy.
    fn len(&self, s: &ConvShape) -> usize {
        s.cin * self.per_channel(s) + SLACK
    }

    /// Copies one channel `(h, w)` as described above; writes every number.
    fn fill(&self, s: &ConvShape, x: &[f32], plane: &mut [f32]) {
        if !self.unfolded {
            let inside = s.pad..s.pad + s.w.min(self.padded[1] - s.pad);
            for (i, row) in plane.chunks_mut(self.padded[1]).enumerate() {
                match i.checked_sub(s.pad).and_then(|i| x.chunks_exact(s.w).nth(i)) {
                    None => row.fill(0.0),
                    Some(x) => {
                        row[..inside.start].fill(0.0);
                        row[inside.clone()].copy_from_slice(&x[..inside.len()]);
                        row[inside.end..].fill(0.0);
                    }
                }
            }
            return;
        }
        if s.stride == 1 && self.padded.iter().all(|&side| side <= BORDERED) {
            // Rows of few pixels: with their number known to the compiler a row is one instruction.
            return match s.wo {
                4 => self.unfold::<4>(s, x, plane),
                7 => self.unfold::<7>(s, x, plane),
                8 => self.unfold::<8>(s, x, plane),
                14 => self.unfold::<14>(s, x, plane),
                _ => self.unfold_any(s, x, plane),
            };
        }
        self.unfold_any(s, x, plane)
    }

    /// [`Patches::unfold_any`] for rows of `W` outputs and stride 1, from a copy of the channel with its border.
    fn unfold<const W: usize>(&self, s: &ConvShape, x: &[f32], plane: &mut [f32]) {
        let mut bordered = [[0.0; BORDERED]; BORDERED];
        for (x, row) in x.chunks(s.w).zip(&mut bordered[s.pad..]) {
            row[s.pad..s.pad + s.w].copy_from_slice(x);
        }
        for (k, plane) in plane.chunks_mut(s.ho * W).enumerate().take(s.kernel * s.kernel) {
            let (i, j) = (k / s.kernel, k % s.kernel);
            for (to, row) in plane.chunks_exact_mut(W).zip(&bordered[i..]) {
                let from: [f32; W] = row[j..j + W].try_into().expect("as long as a row");
                to.copy_from_slice(&from);
            }
        }
    }

    /// A copy of the channel for every kernel position, as that position sees it.
    fn unfold_any(&self, s: &ConvShape, x: &[f32], plane: &mut [f32]) {
        plane.fill(0.0);
        for (k, plane) in plane.chunks_mut(s.ho * s.wo).enumerate().take(s.kernel * s.kernel) {
            let (i, j) = (k / s.kernel, k % s.kernel);
            let columns = s.inside(j, s.w, s.wo);
            if columns.is_empty() {
                continue;
            }
            let first = columns.start * s.stride + j - s.pad;
            for row in s.inside(i, s.h, s.ho) {
                let x = &x[(row * s.stride + i - s.pad) * s.w..][first..s.w];
                let to = &mut plane[row * s.wo..][columns.clone()];
                if s.stride == 1 {
                    to.copy_from_slice(&x[..to.len()]);
                } else {
                    to.iter_mut().zip(x.iter().step_by(s.stride)).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }
}

/// The gradient of the input, added to what is there already or to nothing.
pub(super) fn backward_input(s: &ConvShape, w: &[f32], dy: &[f32], base: Base, dx: &mut [f32]) {
    let taps = s.kernel * s.kernel;
    if s.stride == 1 && s.pad < s.kernel {
        // An input pixel is reached by the outputs around it through the kernel turned by 180 degrees.
        let turned =
            ConvShape { cin: s.cout, cout: s.cin, h: s.ho, w: s.wo, ho: s.h, wo: s.w, pad: s.kernel - 1 - s.pad, ..*s };
        if winograd::suits(&turned, None) {
            let weight = winograd::Weight { w, of_output: 9, of_input: s.cin * 9, turned: true };
            return winograd::correlate(&turned, dy, weight, None, base, dx);
        }
        if taps == 1 {
            return correlate(&turned, dy, &Left::new(w, s.cin, 1, s.cout, s.cin), base, dx);
        }
        let depth = s.cout * taps;
        let mut around = vec![0.0; s.cin * depth];
        for (c, row) in around.chunks_mut(depth).enumerate() {
            for (o, row) in row.chunks_mut(taps).enumerate() {
                for (to, &from) in row.iter_mut().rev().zip(&w[(o * s.cin + c) * taps..]) {
                    *to = from;
                }
            }
        }
        return correlate(&turned, dy, &Left::new(&around, s.cin, depth, depth, 1), base, dx);
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
    let weight = Left::new(w, depth, 1, s.cout, depth);
    let direct = Direct::new(&columns, &weight, Base::Itself);
    let images = dx.par_chunks_mut(s.cin * s.h * s.w).zip(dy.par_chunks(s.cout * pixels)).enumerate();
    images.for_each(|(n, (dx, dy))| {
        if let Base::Added(_) = base {
            dx.fill(0.0);
        }
        with_scratch(|[buffer, gradient]| {
            gradient.clear();
            gradient.resize(depth * pixels, 0.0);
            direct.channels(n, direct.source(dy, buffer), 0, gradient);
            for (dx, gradient) in dx.chunks_mut(s.h * s.w).zip(gradient.chunks(taps * pixels)) {
                for (k, plane) in gradient.chunks(pixels).enumerate() {
                    let (rows, columns) = (s.inside(k / s.kernel, s.h, s.ho), s.inside(k % s.kernel, s.w, s.wo));
                    if columns.is_empty() {
                        continue;
                    }
                    let first = columns.start * s.stride + k % s.kernel - s.pad;
                    for row in rows {
                        let dx = &mut dx[(row * s.stride + k / s.kernel - s.pad) * s.w..][first..s.w];
                        let from = &plane[row * s.wo..][columns.clone()];
                        dx.iter_mut().step_by(s.stride).zip(from).for_each(|(dx, v)| *dx += v);
                    }
                }
            }
        })
    });
}

/// Images are summed in this many groups, whatever the number of threads, so that the result is the same.
const GROUPS: usize = 8;

/// Adds the gradient of the weight.
pub(super) fn backward_weight(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    if winograd::suits(s, None) {
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
    // Where the image lies in the padded one, `(h, w, cin)`, whose border stays zero.
    let at = (0..s.h * s.w).map(|p| ((p / s.w + s.pad) * pw + p % s.w + s.pad) * s.cin).collect();
    let inside = Pixels { first: 0, at };
    let row = taps * s.cin;
    let sum_group = |group: usize| {
        let mut sums = vec![0.0; s.cout.div_ceil(ROWS) * ROWS * row];
        let mut padded = vec![0.0; together * padded_image + SLACK];
        let mut gradient = vec![0.0; s.cout.div_ceil(ROWS) * ROWS * together * pixels];
        let images: Vec<usize> = (group * per_group..((group + 1) * per_group).min(s.batch)).collect();
        for images in images.chunks(together) {
            let depth = images.len() * pixels;
            for (i, n) in images.iter().enumerate() {
                inside.scatter_all(&x[n * image..][..image], s.cin, &mut padded[i * padded_image..]);
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
