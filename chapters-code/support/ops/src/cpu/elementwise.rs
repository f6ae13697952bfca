//! Kernels that touch each number once or twice. Each splits its work into fixed pieces, so that a
//! result does not depend on how many threads there are.

use rayon::prelude::*;

use super::simd::{vectorized, Arithmetic};
use crate::shapes::{AdamW, RowCopy, Store, UpsampleShape};

/// Numbers per piece of work: enough to outweigh the cost of handing it to a thread.
pub(super) const PIECE: usize = 16 * 1024;

/// e^x with a relative error of about 1e-7, for x between -87 and 80, in arithmetic that a compiler
/// turns into vector instructions (Cody & Waite's reduction to |r| ≤ ln 2 / 2, then a Taylor
/// polynomial of degree 7). Beyond that range, the value at its nearer end.
#[inline(always)]
pub(super) fn exp(math: Arithmetic, x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer
    let x = x.clamp(-87.0, 80.0);
    let shifted = math.mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = math.mul_add(n, 2.121_944_4e-4, math.mul_add(n, -0.693_359_4, x));
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = math.mul_add(p, r, c);
    }
    // Times 2^n: n is in the last bits of the shifted number, and is moved to where a number has
    // its exponent.
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[inline(always)]
pub(super) fn sigmoid(math: Arithmetic, x: f32) -> f32 {
    math.reciprocal(1.0 + exp(math, -x))
}

/// The derivative of x · sigmoid(x).
#[inline(always)]
pub(super) fn silu_slope(math: Arithmetic, x: f32) -> f32 {
    let s = sigmoid(math, x);
    s * math.mul_add(x, 1.0 - s, 1.0)
}

/// The number of partial sums; the compiler keeps them in vector registers.
pub(super) const PARTIAL_SUMS: usize = 16;

/// The sum, in [`PARTIAL_SUMS`] partial sums.
#[inline(always)]
pub(super) fn sum(x: &[f32]) -> f32 {
    fold(x, |v| v)
}

/// The sum of `f` over `x`.
#[inline(always)]
pub(super) fn fold(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0f32; PARTIAL_SUMS];
    let mut chunks = x.chunks_exact(PARTIAL_SUMS);
    for chunk in &mut chunks {
        for (sum, &v) in sums.iter_mut().zip(chunk) {
            *sum += f(v);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|&v| f(v)).sum();
    sums.iter().sum::<f32>() + rest
}

pub(super) fn accumulate(a: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).for_each(|(y, a)| {
        vectorized(
            #[inline(always)]
            |_| {
                for (y, a) in y.iter_mut().zip(a) {
                    *y += a;
                }
            },
        )
    });
}

pub(super) fn silu(x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| {
        vectorized(
            #[inline(always)]
            |math| {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = x * sigmoid(math, x);
                }
            },
        )
    });
}

pub(super) fn silu_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    dx.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).zip(dy.par_chunks(PIECE)).for_each(
        |((dx, x), dy)| {
            vectorized(
                #[inline(always)]
                |math| {
                    for i in 0..dx.len() {
                        dx[i] = math.mul_add(dy[i], silu_slope(math, x[i]), dx[i]);
                    }
                },
            )
        },
    );
}

pub(super) fn sum_per_channel(
    batch: usize,
    channels: usize,
    pixels: usize,
    dy: &[f32],
    db: &mut [f32],
) {
    db.par_iter_mut().with_min_len(1 + PIECE / (batch * pixels)).enumerate().for_each(|(c, db)| {
        vectorized(
            #[inline(always)]
            |_| {
                for n in 0..batch {
                    *db += sum(&dy[(n * channels + c) * pixels..][..pixels]);
                }
            },
        )
    });
}

/// Output `i` is the input at `i · inputs / outputs`. A U-Net asks for twice as many outputs as
/// inputs; the compiler can then take outputs in pairs.
pub(super) fn upsample(s: &UpsampleShape, x: &[f32], y: &mut [f32]) {
    let &UpsampleShape { h, w, ho, wo, .. } = s;
    y.par_chunks_mut(ho * wo)
        .with_min_len(1 + PIECE / (ho * wo))
        .zip(x.par_chunks(h * w))
        .for_each(|(y, x)| {
            vectorized(
                #[inline(always)]
                |_| {
                    for (i, y) in y.chunks_exact_mut(wo).enumerate() {
                        let x = &x[i * h / ho * w..][..w];
                        if wo == 2 * w {
                            y.chunks_exact_mut(2).zip(x).for_each(|(y, x)| y.fill(*x));
                        } else {
                            y.iter_mut().enumerate().for_each(|(j, y)| *y = x[j * w / wo]);
                        }
                    }
                },
            )
        });
}

pub(super) fn upsample_backward(s: &UpsampleShape, dy: &[f32], dx: &mut [f32]) {
    let &UpsampleShape { h, w, ho, wo, .. } = s;
    dx.par_chunks_mut(h * w)
        .with_min_len(1 + PIECE / (ho * wo))
        .zip(dy.par_chunks(ho * wo))
        .for_each(|(dx, dy)| {
            vectorized(
                #[inline(always)]
                |_| {
                    for (i, dy) in dy.chunks_exact(wo).enumerate() {
                        let dx = &mut dx[i * h / ho * w..][..w];
                        if wo == 2 * w {
                            dx.iter_mut()
                                .zip(dy.chunks_exact(2))
                                .for_each(|(dx, dy)| *dx += dy[0] + dy[1]);
                        } else {
                            dy.iter().enumerate().for_each(|(j, dy)| dx[j * w / wo] += dy);
                        }
                    }
                },
            )
        });
}

pub(super) fn copy_rows(c: &RowCopy, src: &[f32], dst: &mut [f32], store: Store) {
    let &RowCopy { rows, len, from, to } = c;
    // What lies between two rows of `dst` is part of a row's piece, but stays as it is.
    dst.par_chunks_mut(to.stride).take(rows).with_min_len(1 + PIECE / len).enumerate().for_each(
        |(i, dst)| {
            let src = &src[from.start + i * from.stride..][..len];
            let dst = &mut dst[to.start..][..len];
            match store {
                Store::Overwrite => dst.copy_from_slice(src),
                Store::Add => vectorized(
                    #[inline(always)]
                    |_| {
                        for (d, s) in dst.iter_mut().zip(src) {
                            *d += s;
                        }
                    },
                ),
            }
        },
    );
}

// ANCHOR: adamw
pub(super) fn adamw(h: &AdamW, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    let pieces = p
        .par_chunks_mut(PIECE)
        .zip(g.par_chunks(PIECE))
        .zip(m.par_chunks_mut(PIECE))
        .zip(v.par_chunks_mut(PIECE));
    pieces.for_each(|(((p, g), m), v)| {
        vectorized(
            #[inline(always)]
            |_| {
                for i in 0..p.len() {
                    let g = g[i] * h.gradient_scale;
                    m[i] = h.beta1 * m[i] + (1.0 - h.beta1) * g;
                    v[i] = h.beta2 * v[i] + (1.0 - h.beta2) * g * g;
                    let m_hat = m[i] / h.bias_correction1;
                    let v_hat = v[i] / h.bias_correction2;
                    let step = m_hat / (v_hat.sqrt() + h.eps) + h.weight_decay * p[i];
                    p[i] -= h.learning_rate * step;
                }
            },
        )
    });
}
// ANCHOR_END: adamw

pub(super) fn blend(keep: f32, x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| {
        vectorized(
            #[inline(always)]
            |_| {
                for (y, x) in y.iter_mut().zip(x) {
                    *y = keep * *y + (1.0 - keep) * x;
                }
            },
        )
    });
}

pub(super) fn sum_of_squares(x: &[f32]) -> f64 {
    let pieces: Vec<f64> = x
        .par_chunks(PIECE)
        .map(|x| {
            vectorized(
                #[inline(always)]
                |_| fold(x, |v| v * v),
            ) as f64
        })
        .collect();
    pieces.iter().sum()
}
