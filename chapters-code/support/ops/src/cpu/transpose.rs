//! From planes, where the pixels of a channel are side by side, to vectors of channels, and back.

#[cfg(target_arch = "x86_64")]
use std::any::TypeId;

use pulp::{Simd, WithSimd};

use super::simd::arch;
use super::tiles::reach;

/// Channels and pixels that are transposed together.
const BLOCK: usize = 8;

/// Where the pixels of a plane go: pixel `first + i` to the vector that starts at `at[i]`.
pub(super) struct Pixels {
    pub first: usize,
    pub at: Vec<usize>,
}

impl Pixels {
    /// Copies some channels, stored one after the other as planes of `plane` pixels, into the
    /// vectors: channel c to lane c.
    #[inline(always)]
    pub fn scatter<S: Simd>(
        &self,
        simd: S,
        planes: &[f32],
        plane: usize,
        channels: usize,
        to: &mut [f32],
    ) {
        let pixels = self.at.len();
        let blocks = if blocks_pay(simd) { pixels / BLOCK } else { 0 };
        let whole = channels / BLOCK * BLOCK;
        let end = reach([(channels - 1, plane), (1, self.first), (1, pixels)]);
        assert!(end <= planes.len() && channels <= S::F32_LANES);
        for first in (0..whole).step_by(BLOCK) {
            for block in 0..blocks {
                let from = &planes[first * plane + self.first + block * BLOCK..];
                let at: &[usize; BLOCK] =
                    self.at[block * BLOCK..][..BLOCK].try_into().expect("eight places");
                // SAFETY: `blocks_pay` is true, or there would be no block. The assertion above
                // keeps the last pixel of the last of these planes within the slice, and so all
                // eight pixels of all eight planes.
                let columns = unsafe { transpose_block(from.as_ptr(), plane) };
                for (&at, values) in at.iter().zip(columns) {
                    to[at + first..][..BLOCK].copy_from_slice(&values);
                }
            }
        }
        for c in 0..channels {
            let done = if c < whole { blocks * BLOCK } else { 0 };
            let from = &planes[c * plane + self.first..][done..pixels];
            for (&at, &value) in self.at[done..].iter().zip(from) {
                to[at + c] = value;
            }
        }
    }

    /// Copies all `channels`, stored plane by plane, to the places in `at`; there the channels of a
    /// pixel are side by side.
    pub fn scatter_all(&self, planes: &[f32], channels: usize, to: &mut [f32]) {
        struct All<'a>(&'a Pixels, &'a [f32], usize, &'a mut [f32]);
        impl WithSimd for All<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Self(pixels, planes, channels, to) = self;
                let plane = planes.len() / channels;
                for first in (0..channels).step_by(S::F32_LANES) {
                    let count = S::F32_LANES.min(channels - first);
                    pixels.scatter(simd, &planes[first * plane..], plane, count, &mut to[first..]);
                }
            }
        }
        arch().dispatch(All(self, planes, channels, to))
    }

    /// The way back: calls `take` for runs of pixels in the first `channels` channels, each time
    /// with the channel, the number of the first pixel and the values.
    #[inline(always)]
    pub fn gather<S: Simd>(
        &self,
        simd: S,
        from: &[f32],
        channels: usize,
        mut take: impl FnMut(usize, usize, &[f32]),
    ) {
        let pixels = self.at.len();
        let blocks = if blocks_pay(simd) { pixels / BLOCK } else { 0 };
        for block in 0..blocks {
            let at: &[usize; BLOCK] =
                self.at[block * BLOCK..][..BLOCK].try_into().expect("eight places");
            for first in (0..channels).step_by(BLOCK) {
                let mut rows = [[0.0; BLOCK]; BLOCK];
                for (row, &at) in rows.iter_mut().zip(at) {
                    row.copy_from_slice(&from[at + first..][..BLOCK]);
                }
                // SAFETY: `blocks_pay` is true, or there would be no block, and `rows` has eight
                // times eight numbers.
                let columns = unsafe { transpose_block(rows.as_flattened().as_ptr(), BLOCK) };
                for (i, values) in columns.iter().enumerate().take(channels - first) {
                    take(first + i, self.first + block * BLOCK, values);
                }
            }
        }
        for (i, &at) in self.at.iter().enumerate().skip(blocks * BLOCK) {
            for (c, value) in from[at..][..channels].iter().enumerate() {
                take(c, self.first + i, std::slice::from_ref(value));
            }
        }
    }
}

/// Transposes a matrix `(rows, columns)`: its rows become the first columns of `to`, whose own
/// rows have `width` numbers.
pub(super) fn transpose(from: &[f32], columns: usize, to: &mut [f32], width: usize) {
    let pixels = Pixels { first: 0, at: (0..columns).map(|column| column * width).collect() };
    pixels.scatter_all(from, from.len() / columns, to)
}

/// Adds the first columns of `from`, whose rows have `width` numbers, to the rows of a matrix
/// `(rows, columns)`. Where `width` is not a multiple of eight, `from` must have spare numbers
/// after its last row.
pub(super) fn add_transposed(from: &[f32], width: usize, to: &mut [f32], columns: usize) {
    struct Add<'a>(&'a [f32], usize, &'a mut [f32], usize);
    impl WithSimd for Add<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(from, width, to, columns) = self;
            let pixels =
                Pixels { first: 0, at: (0..columns).map(|column| column * width).collect() };
            let rows = to.len() / columns;
            for first in (0..rows).step_by(S::F32_LANES) {
                let count = S::F32_LANES.min(rows - first);
                pixels.gather(
                    simd,
                    &from[first..],
                    count,
                    #[inline(always)]
                    |row, column, values| {
                        let to = &mut to[(first + row) * columns + column..][..values.len()];
                        to.iter_mut().zip(values).for_each(|(to, v)| *to += v);
                    },
                );
            }
        }
    }
    arch().dispatch(Add(from, width, to, columns))
}

/// Whether there are instructions that transpose a block: those of AVX. The processor has them if
/// `S` is one of the two types whose sets include AVX, because without AVX there is no value of
/// these types.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn blocks_pay<S: Simd>(_: S) -> bool {
    let set = TypeId::of::<S>();
    set == TypeId::of::<pulp::x86::V3>() || set == TypeId::of::<pulp::x86::V4>()
}
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn blocks_pay<S: Simd>(_: S) -> bool {
    false
}

/// Eight rows of eight numbers, `row` apart, as eight columns.
///
/// # Safety
/// All of these numbers exist, and the processor has AVX (see [`blocks_pay`]).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_block(from: *const f32, row: usize) -> [[f32; BLOCK]; BLOCK] {
    use std::arch::x86_64::*;
    // SAFETY: the caller guarantees that the numbers exist, at any address, and that there is AVX,
    // which is all that these instructions need.
    let columns = unsafe {
        let mut r = [_mm256_setzero_ps(); 8];
        for (i, r) in r.iter_mut().enumerate() {
            *r = _mm256_loadu_ps(from.add(i * row));
        }
        // Pairs of rows, then pairs of pairs, then the halves of the registers.
        let t = [
            _mm256_unpacklo_ps(r[0], r[1]),
            _mm256_unpackhi_ps(r[0], r[1]),
            _mm256_unpacklo_ps(r[2], r[3]),
            _mm256_unpackhi_ps(r[2], r[3]),
            _mm256_unpacklo_ps(r[4], r[5]),
            _mm256_unpackhi_ps(r[4], r[5]),
            _mm256_unpacklo_ps(r[6], r[7]),
            _mm256_unpackhi_ps(r[6], r[7]),
        ];
        let q = [
            _mm256_shuffle_ps::<0x44>(t[0], t[2]),
            _mm256_shuffle_ps::<0xee>(t[0], t[2]),
            _mm256_shuffle_ps::<0x44>(t[1], t[3]),
            _mm256_shuffle_ps::<0xee>(t[1], t[3]),
            _mm256_shuffle_ps::<0x44>(t[4], t[6]),
            _mm256_shuffle_ps::<0xee>(t[4], t[6]),
            _mm256_shuffle_ps::<0x44>(t[5], t[7]),
            _mm256_shuffle_ps::<0xee>(t[5], t[7]),
        ];
        [
            _mm256_permute2f128_ps::<0x20>(q[0], q[4]),
            _mm256_permute2f128_ps::<0x20>(q[1], q[5]),
            _mm256_permute2f128_ps::<0x20>(q[2], q[6]),
            _mm256_permute2f128_ps::<0x20>(q[3], q[7]),
            _mm256_permute2f128_ps::<0x31>(q[0], q[4]),
            _mm256_permute2f128_ps::<0x31>(q[1], q[5]),
            _mm256_permute2f128_ps::<0x31>(q[2], q[6]),
            _mm256_permute2f128_ps::<0x31>(q[3], q[7]),
        ]
    };
    // SAFETY: eight registers of eight `f32` are as long as eight arrays of eight, and any bit
    // pattern is a valid `f32`.
    unsafe { std::mem::transmute::<[__m256; BLOCK], [[f32; BLOCK]; BLOCK]>(columns) }
}

/// # Safety
/// None is needed: nothing calls this; see [`blocks_pay`].
#[cfg(not(target_arch = "x86_64"))]
unsafe fn transpose_block(_: *const f32, _: usize) -> [[f32; BLOCK]; BLOCK] {
    unreachable!("blocks_pay is false")
}
