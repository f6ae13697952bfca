//! From images to results: transform, multiply, and store.

use pulp::{Simd, WithSimd};

use super::buffers::{get_block, put_block, MatrixLayout, Window};
use super::filter::TransformedFilter;
use super::maps::{both_ways, InputTransform, OutputTransform};
use super::tiling::{Band, PLACES, REACH, TILE};
use super::transform::TileTransform;
use crate::cpu::base::Base;
use crate::cpu::simd::arch;
use crate::cpu::tiles::{scratch_slice, Tiles, SLACK};
use crate::shapes::ConvShape;

/// Some rows of tiles of some images, and some output channels.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    pub s: &'a ConvShape,
    pub band: Band,
    pub x: &'a [f32],
    pub filter: TransformedFilter<'a>,
    pub base: Base<'a>,
    /// The first output channel, and the number of output channels.
    pub first: usize,
    pub count: usize,
    /// How many pixels of a plane come before those of `y`.
    pub skipped: usize,
}

impl Forward<'_> {
    /// Computes `y`: the results from pixel `skipped` on, for each of these channels of each of the
    /// band's images.
    pub fn run(self, y: &mut [&mut [f32]], scratch: &mut [Vec<f32>; 3]) {
        struct Pass<'a, 'b>(Forward<'a>, &'a mut [&'b mut [f32]], &'a mut [Vec<f32>; 3]);
        impl WithSimd for Pass<'_, '_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Self(forward, y, [v, m, window]) = self;
                let v = forward.transform(simd, v, window);
                let m = forward.multiply(simd, v, m);
                forward.store(simd, m, window, y);
            }
        }
        arch().dispatch(Pass(self, y, scratch))
    }

    /// The inputs' 36 matrices, (tile, input channel).
    #[inline(always)]
    fn transform<'b, S: Simd>(
        &self,
        simd: S,
        v: &'b mut Vec<f32>,
        window: &mut Vec<f32>,
    ) -> (MatrixLayout, &'b [f32]) {
        let s = self.s;
        let layout = MatrixLayout::new(self.band.tiles(), s.cin, S::F32_LANES);
        let v = scratch_slice(v, layout.len());
        TileTransform {
            band: self.band,
            x: self.x,
            channels: s.cin,
            h: s.h,
            w: s.w,
            pad: s.pad,
            layout,
            to: v,
            window,
        }
        .run::<S, InputTransform, REACH>(simd);
        (layout, v)
    }

    /// The results' 36 matrices, (tile, output channel): those of the inputs times those of the
    /// filter.
    #[inline(always)]
    fn multiply<'b, S: Simd>(
        &self,
        simd: S,
        (inputs, v): (MatrixLayout, &[f32]),
        m: &'b mut Vec<f32>,
    ) -> (MatrixLayout, &'b [f32]) {
        let layout = MatrixLayout::new(self.band.tiles(), self.count, S::F32_LANES);
        let m = scratch_slice(m, layout.len());
        let TransformedFilter { strips, first, u } = self.filter;
        let starts = strips.starts();
        let runs = strips.runs(self.first - first, layout.width, S::F32_LANES);
        for place in 0..PLACES {
            let tiles = Tiles {
                a: &v[place * inputs.step..][..inputs.step],
                a_panel: 4 * inputs.width,
                a_row: inputs.width,
                a_column: 1,
                b: &u[place * strips.step..][..strips.step],
                starts: &starts,
                runs: &runs,
                out: &mut m[place * layout.step..][..layout.step],
                out_row: layout.width,
                rows: self.band.tiles(),
                accumulate: false,
            };
            tiles.with_simd(simd);
        }
        (layout, m)
    }

    /// Back to pixels: a group of channels side by side first, then each channel to its plane.
    #[inline(always)]
    fn store<S: Simd>(
        &self,
        simd: S,
        m: (MatrixLayout, &[f32]),
        window: &mut Vec<f32>,
        y: &mut [&mut [f32]],
    ) {
        let (s, band, lanes) = (self.s, self.band, S::F32_LANES);
        let (rows, width, top) = (band.rows * TILE, band.columns * TILE, band.row * TILE);
        let grid = Window::new(rows, width, [s.ho, s.wo], top as isize, 0, lanes);
        let window = scratch_slice(window, grid.len(lanes));
        for image in 0..band.images {
            for first in (0..self.count).step_by(lanes) {
                self.inverse(simd, m, image, first, window, width);
                let planes = &mut y[image * self.count + first..];
                self.scatter(simd, &grid, window, image, first, planes);
            }
        }
    }

    /// The inverse transform of some channels of an image, from channel `first` on, to a window of
    /// this width.
    #[inline(always)]
    fn inverse<S: Simd>(
        &self,
        simd: S,
        (layout, m): (MatrixLayout, &[f32]),
        image: usize,
        first: usize,
        window: &mut [f32],
        width: usize,
    ) {
        let (band, lanes) = (self.band, S::F32_LANES);
        for row in 0..band.rows {
            for column in 0..band.columns {
                let tile = (image * band.rows + row) * band.columns + column;
                let at = tile * layout.width + first;
                let block = get_block::<S, REACH>(simd, m, at, REACH * layout.step, layout.step);
                let block = both_ways::<S, OutputTransform, REACH, TILE>(simd, &block);
                let corner = (row * width + column) * TILE * lanes;
                put_block::<S, TILE>(window, corner, width * lanes, lanes, block);
            }
        }
    }

    /// Adds what is in a window to the base, and puts the sums into an image's planes, from channel
    /// `first` on.
    #[inline(always)]
    fn scatter<S: Simd>(
        &self,
        simd: S,
        grid: &Window,
        window: &[f32],
        image: usize,
        first: usize,
        planes: &mut [&mut [f32]],
    ) {
        let channels = S::F32_LANES.min(self.count - first);
        let mut bases = [(0.0, None); SLACK];
        for (c, base) in bases[..channels].iter_mut().enumerate() {
            *base = self.base.plane(self.s, self.band.image + image, self.first + first + c);
        }
        grid.pixels.gather(
            simd,
            window,
            channels,
            #[inline(always)]
            |c, pixel, values| {
                let y = &mut planes[c][pixel - self.skipped..][..values.len()];
                match (self.base, bases[c]) {
                    (Base::Itself, _) => y.iter_mut().zip(values).for_each(|(y, v)| *y += v),
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
