//! Which vector instructions the kernels use.

use std::sync::atomic::{AtomicU8, Ordering};

use pulp::{Arch, Simd, WithSimd};

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimdLevel {
    /// No vector instructions beyond those that every processor of the target architecture has.
    Scalar,
    /// AVX2 and FMA: 8 numbers at a time.
    Avx2,
    /// AVX-512: 16 numbers at a time.
    Avx512,
}

static FORCED: AtomicU8 = AtomicU8::new(0);

/// Makes the element-wise, normalisation and convolution kernels use `level` from now on, in the
/// whole process; `None` goes back to the best that the processor has. Meant for tests: every level
/// must give the same answer up to rounding. Returns false, and changes nothing, if this processor
/// lacks the level.
pub fn force_simd(level: Option<SimdLevel>) -> bool {
    let code = match level {
        None => 0,
        Some(SimdLevel::Scalar) => 1,
        Some(SimdLevel::Avx2) => 2,
        Some(SimdLevel::Avx512) => 3,
    };
    if at_level(code).is_none() {
        return false;
    }
    FORCED.store(code, Ordering::Relaxed);
    true
}

fn at_level(code: u8) -> Option<Arch> {
    match code {
        0 => Some(Arch::new()),
        1 => Some(Arch::Scalar),
        #[cfg(target_arch = "x86_64")]
        2 => pulp::x86::V3::try_new().map(Arch::V3),
        #[cfg(target_arch = "x86_64")]
        3 => pulp::x86::V4::try_new().map(Arch::V4),
        _ => None,
    }
}

/// The instructions to use now.
///
/// `arch().dispatch(work)` runs `work` with them. Everything that `work` calls must be inlined into
/// it: a function is compiled for one set of instructions only.
pub(super) fn arch() -> Arch {
    at_level(FORCED.load(Ordering::Relaxed)).unwrap_or_default()
}

/// Runs a closure with the instructions to use now. The closure must be marked `#[inline(always)]`.
pub(super) fn vectorized<R>(work: impl FnMut(Arithmetic) -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnMut(Arithmetic) -> R> WithSimd for Work<F> {
        type Output = R;
        // Called as `FnMut`, because a call as `FnOnce` would put a function around the closure,
        // and nobody could ask for *that* to be inlined.
        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) -> R {
            let fused =
                S::F32_LANES >= 8 && cfg!(target_arch = "x86_64") || cfg!(target_arch = "aarch64");
            (self.0)(Arithmetic { fused })
        }
    }
    arch().dispatch(Work(work))
}

/// Arithmetic for which there may be better instructions; the compiler knows about them where a
/// closure passed to [`vectorized`] is inlined.
#[derive(Clone, Copy)]
pub(super) struct Arithmetic {
    /// Whether one instruction both multiplies and adds.
    fused: bool,
}

impl Arithmetic {
    /// `a · b + c`, in one instruction if there is one; the standard library's function would be
    /// slow where there is none.
    #[inline(always)]
    pub fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        if self.fused {
            a.mul_add(b, c)
        } else {
            a * b + c
        }
    }

    /// 1/d, for d between 2^-125 and 2^125. Dividing a vector of 16 numbers takes as long as
    /// 32 other instructions; Newton's method takes 7.
    #[inline(always)]
    pub fn reciprocal(self, d: f32) -> f32 {
        if !self.fused {
            return 1.0 / d;
        }
        // The exponent changes sign, and the first digits come out roughly right: off by 5 % at
        // most. Every step squares the error.
        let mut r = f32::from_bits(0x7ef3_11c7_u32.wrapping_sub(d.to_bits()));
        for _ in 0..3 {
            let wrong = (-d).mul_add(r, 1.0);
            r = r.mul_add(wrong, r);
        }
        r
    }
}
