//! The gradient of the weight: both transforms, the sums over tiles, and the last transform.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::buffers::{get_block, put_block, MatrixLayout};
use super::maps::{both_ways, FilterTranspose, InputTransform, OutputTranspose};
use super::tiling::{Band, Grid, REACH, TILE};
use super::transform::TileTransform;
use crate::cpu::simd::arch;
use crate::cpu::tiles::{lanes, runs, scratch_slice, with_scratch, Starts, Tiles, SLACK};
use crate::shapes::ConvShape;

/// Bands whose transformed tiles are in memory at once while a weight's gradient is being summed.
const BANDS: usize = 4;

/// Adds the gradient of the weight.
pub(in crate::cpu) fn backward_weight(s: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let lanes = lanes();
    let bands = Grid::new(s.ho, s.wo).bands(s.batch, s.batch);
    let most = bands.iter().map(Band::tiles).max().expect("a convolution has results");
    let (v_layout, m_layout) =
        (MatrixLayout::new(most, s.cin, lanes), MatrixLayout::new(most, s.cout, lanes));
    let u_layout = MatrixLayout::new(s.cin, s.cout, lanes);
    let together = BANDS.min(bands.len());
    with_scratch(|[u, v, m]| {
        let u = scratch_slice(u, u_layout.len());
        let (v, m) = (
            scratch_slice(v, together * v_layout.len()),
            scratch_slice(m, together * m_layout.len()),
        );
        for (chunk, bands) in bands.chunks(BANDS).enumerate() {
            let buffers = v.par_chunks_mut(v_layout.len()).zip(m.par_chunks_mut(m_layout.len()));
            bands.par_iter().zip(buffers).for_each(|(&band, (v, m))| {
                with_scratch(|[window]| {
                    arch().dispatch(TransformBoth {
                        s,
                        band,
                        x,
                        dy,
                        v_layout,
                        m_layout,
                        v,
                        m,
                        window,
                    })
                })
            });
            u.par_chunks_mut(u_layout.step).enumerate().for_each(|(place, u)| {
                arch().dispatch(SumTiles {
                    s,
                    bands,
                    first: chunk == 0,
                    place,
                    v_layout,
                    m_layout,
                    u_layout,
                    v,
                    m,
                    u,
                })
            });
        }
        let u = &*u;
        let together = lanes * s.cin * 9;
        dw.par_chunks_mut(together).enumerate().for_each(|(i, dw)| {
            arch().dispatch(WeightGradient { cin: s.cin, first: i * lanes, u_layout, u, dw });
        });
    });
}

/// Transforms the inputs and gradients of one band into their 36 matrices.
struct TransformBoth<'a> {
    s: &'a ConvShape,
    band: Band,
    x: &'a [f32],
    dy: &'a [f32],
    v_layout: MatrixLayout,
    m_layout: MatrixLayout,
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
        TileTransform {
            band,
            x,
            channels: s.cin,
            h: s.h,
            w: s.w,
            pad: s.pad,
            layout: self.v_layout,
            to: self.v,
            window,
        }
        .run::<S, InputTransform, REACH>(simd);
        TileTransform {
            band,
            x: dy,
            channels: s.cout,
            h: s.ho,
            w: s.wo,
            pad: 0,
            layout: self.m_layout,
            to: self.m,
            window,
        }
        .run::<S, OutputTranspose, TILE>(simd);
    }
}

/// For one of the 36 places: the sum over tiles of input times gradient, for every pair of
/// channels.
struct SumTiles<'a> {
    s: &'a ConvShape,
    bands: &'a [Band],
    /// Whether these are the first bands; if so, there is nothing to add to yet.
    first: bool,
    place: usize,
    v_layout: MatrixLayout,
    m_layout: MatrixLayout,
    u_layout: MatrixLayout,
    v: &'a [f32],
    m: &'a [f32],
    u: &'a mut [f32],
}

impl WithSimd for SumTiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (v_layout, m_layout) = (self.v_layout, self.m_layout);
        let runs: Vec<_> = runs(0, 0, m_layout.width, S::F32_LANES).collect();
        for (i, band) in self.bands.iter().enumerate() {
            let starts = Starts::new((0..band.tiles()).map(|tile| tile * m_layout.width).collect());
            let tiles = Tiles {
                a: &self.v[i * v_layout.len() + self.place * v_layout.step..][..v_layout.step],
                a_panel: 4,
                a_row: 1,
                a_column: v_layout.width,
                b: &self.m[i * m_layout.len() + self.place * m_layout.step..][..m_layout.step],
                starts: &starts,
                runs: &runs,
                out: self.u,
                out_row: self.u_layout.width,
                rows: self.s.cin,
                accumulate: i > 0 || !self.first,
            };
            tiles.with_simd(simd);
        }
    }
}

/// The last transform of the weight's gradient, for a vector of output channels.
struct WeightGradient<'a> {
    cin: usize,
    /// The first output channel.
    first: usize,
    u_layout: MatrixLayout,
    u: &'a [f32],
    /// The gradient for these channels alone.
    dw: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        let mut taps = [0.0f32; 9 * SLACK];
        let MatrixLayout { width, step } = self.u_layout;
        for c in 0..self.cin {
            let block =
                get_block::<S, REACH>(simd, self.u, c * width + self.first, REACH * step, step);
            let block = both_ways::<S, FilterTranspose, REACH, 3>(simd, &block);
            put_block::<S, 3>(&mut taps, 0, 3 * lanes, lanes, block);
            for (lane, dw) in self.dw.chunks_mut(self.cin * 9).enumerate() {
                for (k, dw) in dw[c * 9..][..9].iter_mut().enumerate() {
                    *dw += taps[k * lanes + lane];
                }
            }
        }
    }
}
