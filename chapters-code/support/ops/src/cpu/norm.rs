//! Group normalisation, one group at a time, so that it stays in cache from one pass to the next.

use rayon::prelude::*;

use super::elementwise::{fold, sigmoid, silu_slope, sum, PARTIAL_SUMS, PIECE};
use super::simd::{vectorized, Arithmetic};
use crate::shapes::NormShape;

/// The variance is that of the whole population, as in PyTorch.
pub(super) fn forward(
    s: &NormShape,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    statistics: &mut [f32],
    y: &mut [f32],
) {
    let per_group = s.channels / s.groups;
    let len = per_group * s.pixels;
    let groups = y.par_chunks_mut(len).zip(x.par_chunks(len)).zip(statistics.par_chunks_mut(2));
    // Every number is read three times, so half as many as usual are enough for a thread.
    groups.with_min_len(1 + PIECE / 2 / len).enumerate().for_each(|(i, ((y, x), statistics))| {
        let first = i % s.groups * per_group;
        vectorized(
            #[inline(always)]
            |math| {
                let mean = sum(x) / len as f32;
                let variance = fold(x, |v| (v - mean) * (v - mean)) / len as f32;
                let scale = 1.0 / (variance + s.eps).sqrt();
                statistics.copy_from_slice(&[mean, scale]);
                for c in 0..per_group {
                    let a = gamma[first + c] * scale;
                    let b = beta[first + c] - mean * a;
                    let plane = c * s.pixels..(c + 1) * s.pixels;
                    let (x, y) = (&x[plane.clone()], &mut y[plane]);
                    if s.silu {
                        for (y, &x) in y.iter_mut().zip(x) {
                            let z = math.mul_add(a, x, b);
                            *y = z * sigmoid(math, z);
                        }
                    } else {
                        for (y, &x) in y.iter_mut().zip(x) {
                            *y = a * x + b;
                        }
                    }
                }
            },
        )
    });
}

#[allow(clippy::too_many_arguments)]
pub(super) fn backward(
    s: &NormShape,
    x: &[f32],
    statistics: &[f32],
    gamma: &[f32],
    beta: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let per_group = s.channels / s.groups;
    let len = per_group * s.pixels;
    // Every image adds to the gradients of gamma and beta: keep each image's share; further
    // down, the shares are added up in order.
    let mut shares = vec![[0.0f32; 2]; s.batch * s.channels];
    let pieces = dx
        .par_chunks_mut(len)
        .zip(x.par_chunks(len))
        .zip(dy.par_chunks(len))
        .zip(shares.par_chunks_mut(per_group));
    pieces.enumerate().for_each_init(
        || vec![0.0; len],
        |dz, (i, (((dx, x), dy), shares))| {
            let first = i % s.groups * per_group;
            vectorized(
                #[inline(always)]
                |math| {
                    let (mean, scale) = (statistics[2 * i], statistics[2 * i + 1]);
                    // The means of dŷ and dŷ·ŷ over the group, where ŷ is the normalised input.
                    let (mut mean_d, mut mean_dy) = (0.0, 0.0);
                    for c in 0..per_group {
                        let plane = c * s.pixels..(c + 1) * s.pixels;
                        let (x, dy, dz) = (&x[plane.clone()], &dy[plane.clone()], &mut dz[plane]);
                        let g = gamma[first + c];
                        let a = g * scale;
                        let b = beta[first + c] - mean * a;
                        let [total, weighted] = if s.silu {
                            let of = |x, dy| dy * silu_slope(math, math.mul_add(a, x, b));
                            Gradient { math, mean, of }.channel(x, dy, dz)
                        } else {
                            Gradient { math, mean, of: |_, dy| dy }.channel(x, dy, dz)
                        };
                        let weighted = weighted * scale;
                        shares[c] = [weighted, total];
                        mean_d += g * total;
                        mean_dy += g * weighted;
                    }
                    (mean_d, mean_dy) = (mean_d / len as f32, mean_dy / len as f32);
                    for c in 0..per_group {
                        let plane = c * s.pixels..(c + 1) * s.pixels;
                        let (x, dz, dx) = (&x[plane.clone()], &dz[plane.clone()], &mut dx[plane]);
                        let g = gamma[first + c];
                        let (of_dz, of_x) = (scale * g, -scale * scale * mean_dy);
                        for j in 0..s.pixels {
                            let others = math.mul_add(of_x, x[j] - mean, -scale * mean_d);
                            dx[j] += math.mul_add(of_dz, dz[j], others);
                        }
                    }
                },
            )
        },
    );
    for image in shares.chunks(s.channels) {
        for (c, [weighted, total]) in image.iter().enumerate() {
            dgamma[c] += weighted;
            dbeta[c] += total;
        }
    }
}

/// Computes dz, the gradient of the normalised and scaled numbers, from x and dy.
struct Gradient<F> {
    math: Arithmetic,
    mean: f32,
    of: F,
}

impl<F: Fn(f32, f32) -> f32> Gradient<F> {
    /// One channel. Returns the sums of dz and of dz · (x - mean).
    #[inline(always)]
    fn channel(&self, x: &[f32], dy: &[f32], dz: &mut [f32]) -> [f32; 2] {
        let mut totals = [[0.0; PARTIAL_SUMS]; 2];
        let (mut xs, mut dys, mut dzs) = (
            x.chunks_exact(PARTIAL_SUMS),
            dy.chunks_exact(PARTIAL_SUMS),
            dz.chunks_exact_mut(PARTIAL_SUMS),
        );
        for ((x, dy), dz) in (&mut xs).zip(&mut dys).zip(&mut dzs) {
            self.some(x, dy, dz, &mut totals);
        }
        self.some(xs.remainder(), dys.remainder(), dzs.into_remainder(), &mut totals);
        totals.map(|sums| sums.iter().sum())
    }

    /// At most [`PARTIAL_SUMS`] numbers of a channel, which are added to the partial sums.
    #[inline(always)]
    fn some(
        &self,
        x: &[f32],
        dy: &[f32],
        dz: &mut [f32],
        [total, weighted]: &mut [[f32; PARTIAL_SUMS]; 2],
    ) {
        for i in 0..dz.len() {
            dz[i] = (self.of)(x[i], dy[i]);
            total[i] += dz[i];
            weighted[i] = self.math.mul_add(dz[i], x[i] - self.mean, weighted[i]);
        }
    }
}
