//! The five linear maps of the method (Lavin & Gray 2015, section 4.3).

use pulp::Simd;

pub(super) type Block<V, const N: usize> = [[V; N]; N];

/// One of the linear maps of the method (Lavin & Gray, section 4.3), from N numbers to M, on
/// vectors of numbers.
///
/// Traits and plain loops are used where closures would read better, because only code that is sure
/// to be inlined is compiled for the instruction set that was detected.
pub(super) trait Map<const N: usize, const M: usize> {
    fn apply<S: Simd>(simd: S, v: [S::f32s; N]) -> [S::f32s; M];
}

/// `t m tᵀ`: applies `T` to the columns of m and then to its rows.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) fn both_ways<S: Simd, T: Map<N, M>, const N: usize, const M: usize>(
    simd: S,
    m: &Block<S::f32s, N>,
) -> Block<S::f32s, M> {
    let zero = simd.splat_f32s(0.0);
    let mut columns = [[zero; M]; N];
    for j in 0..N {
        let mut column = [zero; N];
        for i in 0..N {
            column[i] = m[i][j];
        }
        columns[j] = T::apply(simd, column);
    }
    let mut result = [[zero; M]; M];
    for i in 0..M {
        let mut row = [zero; N];
        for j in 0..N {
            row[j] = columns[j][i];
        }
        result[i] = T::apply(simd, row);
    }
    result
}

/// `k · a + b`
#[inline(always)]
fn fma<S: Simd>(simd: S, k: f32, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(k), a, b)
}

#[inline(always)]
fn scale<S: Simd>(simd: S, k: f32, a: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(k), a)
}

/// Bᵀ, from inputs to places.
pub(super) struct InputTransform;
impl Map<6, 6> for InputTransform {
    #[inline(always)]
    fn apply<S: Simd>(s: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let (a, b) = (fma(s, -4.0, d[2], d[4]), fma(s, -4.0, d[1], d[3]));
        let (c, e) = (s.sub_f32s(d[4], d[2]), scale(s, 2.0, s.sub_f32s(d[3], d[1])));
        [
            fma(s, 4.0, d[0], fma(s, -5.0, d[2], d[4])),
            s.add_f32s(a, b),
            s.sub_f32s(a, b),
            s.add_f32s(c, e),
            s.sub_f32s(c, e),
            fma(s, 4.0, d[1], fma(s, -5.0, d[3], d[5])),
        ]
    }
}

/// G, from weights to places.
pub(super) struct FilterTransform;
impl Map<3, 6> for FilterTransform {
    #[inline(always)]
    fn apply<S: Simd>(s: S, w: [S::f32s; 3]) -> [S::f32s; 6] {
        let even = scale(s, -1.0 / 6.0, s.add_f32s(w[0], w[2]));
        let odd = scale(s, -1.0 / 6.0, w[1]);
        let far = fma(s, 1.0 / 24.0, w[0], scale(s, 1.0 / 6.0, w[2]));
        let slope = scale(s, 1.0 / 12.0, w[1]);
        [
            scale(s, 0.25, w[0]),
            s.add_f32s(even, odd),
            s.sub_f32s(even, odd),
            s.add_f32s(far, slope),
            s.sub_f32s(far, slope),
            w[2],
        ]
    }
}

/// Aᵀ, from places to results.
pub(super) struct OutputTransform;
impl Map<6, 4> for OutputTransform {
    #[inline(always)]
    fn apply<S: Simd>(s: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
        let (a, b) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
        let (p, q) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
        [
            s.add_f32s(s.add_f32s(m[0], a), p),
            fma(s, 2.0, q, b),
            fma(s, 4.0, p, a),
            s.add_f32s(fma(s, 8.0, q, b), m[5]),
        ]
    }
}

/// A, the transpose of [`OutputTransform`]: from the gradient of the results to places.
pub(super) struct OutputTranspose;
impl Map<4, 6> for OutputTranspose {
    #[inline(always)]
    fn apply<S: Simd>(s: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
        let (even, odd) = (s.add_f32s(y[0], y[2]), s.add_f32s(y[1], y[3]));
        let far = fma(s, 4.0, y[2], y[0]);
        let slope = fma(s, 8.0, y[3], scale(s, 2.0, y[1]));
        [
            y[0],
            s.add_f32s(even, odd),
            s.sub_f32s(even, odd),
            s.add_f32s(far, slope),
            s.sub_f32s(far, slope),
            y[3],
        ]
    }
}

/// Gᵀ, the transpose of [`FilterTransform`]: from places to the gradient of the weights.
pub(super) struct FilterTranspose;
impl Map<6, 3> for FilterTranspose {
    #[inline(always)]
    fn apply<S: Simd>(s: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
        let (a, b) = (s.add_f32s(u[1], u[2]), s.sub_f32s(u[2], u[1]));
        let (p, q) = (s.add_f32s(u[3], u[4]), s.sub_f32s(u[3], u[4]));
        let even = scale(s, -1.0 / 6.0, a);
        [
            fma(s, 0.25, u[0], fma(s, 1.0 / 24.0, p, even)),
            fma(s, 1.0 / 6.0, b, scale(s, 1.0 / 12.0, q)),
            fma(s, 1.0 / 6.0, p, s.add_f32s(even, u[5])),
        ]
    }
}
