//! 3×3 convolution of stride 1 with a quarter of the multiplications: Winograd's F(4×4, 3×3)
//! (Lavin & Gray 2015, "Fast Algorithms for Convolutional Neural Networks").
//!
//! The result is cut into tiles of 4×4 pixels. Each depends on 6×6 inputs, and
//!
//! ```text
//! y = Aᵀ [ (G w Gᵀ) ∘ (Bᵀ x B) ] A          (their eq. 12)
//! ```
//!
//! Between the transforms, the 36 places are independent of each other: at each of them, the sum
//! over channels is a matrix product of (tiles × input channels) with (input channels × output
//! channels). A tile thus takes 36 multiplications per pair of channels, where the direct way takes
//! 9 · 16 = 144. The gradient of the input is the same
//! convolution with every kernel rotated by 180 degrees; the gradient of the weight is the
//! transpose of the formula:
//!
//! ```text
//! dw = Gᵀ [ Σ over tiles of (A dy Aᵀ) ∘ (Bᵀ x B) ] G
//! ```
//!
//! Vectors run over channels: as many channels as a vector holds are first placed side by side.

mod buffers;
mod filter;
mod forward;
mod gradient;
mod maps;
mod share;
mod tiling;
mod transform;

use rayon::prelude::*;

pub(super) use self::filter::Filter;
pub use self::filter::Memo;
use self::filter::TransformedFilter;
use self::forward::Forward;
pub(super) use self::gradient::backward_weight;
use self::share::Share;
use self::tiling::{Band, Grid};
use super::base::Base;
use super::tiles::with_scratch;
use crate::shapes::ConvShape;

/// Whether this method can compute a convolution and is faster at it than a matrix product.
/// Transforming the weight takes time, and pays off only if there are enough tiles. Fewer are
/// enough if the transformed weight is kept, or if the images are small, because small images slow
/// the matrix product down.
pub(super) fn suits(s: &ConvShape, memo: Option<&Memo>) -> bool {
    let grid = Grid::new(s.ho, s.wo);
    let enough = if memo.is_some_and(|_| Memo::pays(s)) {
        4
    } else if s.wo < 8 {
        8
    } else {
        16
    };
    s.kernel == 3
        && s.stride == 1
        && s.pad < 3
        && s.cin.min(s.cout) >= 16
        && s.batch * grid.rows * grid.columns >= enough
}

/// `y = conv(x, w) + base`. A memo, if there is one, must have been made for this weight.
pub(super) fn correlate(
    s: &ConvShape,
    x: &[f32],
    filter: Filter,
    memo: Option<&Memo>,
    base: Base,
    y: &mut [f32],
) {
    let (threads, grid) = (rayon::current_num_threads(), Grid::new(s.ho, s.wo));
    let memo = memo.filter(|_| Memo::pays(s));
    let kept = memo.and_then(|memo| memo.get_or_transform(&filter, s));
    if threads / s.batch > 1 {
        return correlate_shared(s, x, filter, kept, base, threads / s.batch, y);
    }
    // Each thread has its own images, but all share the transformed weight.
    let work = |filter: TransformedFilter, y: &mut [f32]| {
        let bands = grid.bands(s.batch, s.batch.div_ceil(threads));
        let pieces: Vec<&[Band]> = bands.chunk_by(|a, b| a.image == b.image).collect();
        let pixels = s.ho * s.wo;
        let y = y.par_chunks_mut(pieces[0][0].images * s.cout * pixels).zip(&pieces);
        y.for_each(|(y, bands)| {
            let mut planes: Vec<_> = y.chunks_mut(pixels).collect();
            with_scratch(|scratch| {
                for &band in *bands {
                    let (first, count, skipped) = (0, s.cout, 0);
                    Forward { s, band, x, filter, base, first, count, skipped }
                        .run(&mut planes, scratch);
                }
            })
        });
    };
    match kept {
        Some(kept) => work(kept, y),
        None => with_scratch(|[u]| work(filter.transformed(s, 0..s.cout, threads, u), y)),
    }
}

/// [`correlate`] for fewer images than threads: `threads` threads share each image.
fn correlate_shared(
    s: &ConvShape,
    x: &[f32],
    filter: Filter,
    kept: Option<TransformedFilter>,
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
        let mut work = |filter: TransformedFilter| {
            with_scratch(|scratch| {
                for band in Grid::new(s.ho, s.wo).cut(image..image + 1, share.rows.clone()) {
                    Forward { s, band, x, filter, base, first, count, skipped }
                        .run(&mut planes, scratch);
                }
            })
        };
        match kept {
            Some(kept) => work(kept),
            None => with_scratch(|[u]| work(filter.transformed(s, share.channels.clone(), 1, u))),
        }
    })
}
