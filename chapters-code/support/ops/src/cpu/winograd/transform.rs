//! From images to transformed tiles.

use pulp::Simd;

use super::buffers::{get_block, put_block, MatrixLayout, Window};
use super::maps::{both_ways, Map};
use super::tiling::{Band, REACH, TILE};
use crate::cpu::tiles::scratch_slice;

/// Transforms blocks of N×N inputs, whose corners are `TILE` apart, in every channel of a band's
/// images. The results are the band's 36 matrices.
pub(super) struct TileTransform<'a> {
    pub band: Band,
    /// All images, `(image, channels, h, w)`.
    pub x: &'a [f32],
    pub channels: usize,
    pub h: usize,
    pub w: usize,
    pub pad: usize,
    pub layout: MatrixLayout,
    pub to: &'a mut [f32],
    pub window: &'a mut Vec<f32>,
}

impl TileTransform<'_> {
    #[inline(always)]
    pub fn run<S: Simd, T: Map<N, REACH>, const N: usize>(self, simd: S) {
        let lanes = S::F32_LANES;
        let band = self.band;
        let (rows, width) = ((band.rows - 1) * TILE + N, (band.columns - 1) * TILE + N);
        let top = (band.row * TILE) as isize - self.pad as isize;
        let window = Window::new(rows, width, [self.h, self.w], top, self.pad, lanes);
        // The image's pixels are overwritten for every group of channels; the border around them
        // stays zero.
        let pixels = scratch_slice(self.window, window.len(lanes));
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
                        let MatrixLayout { width, step } = self.layout;
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
