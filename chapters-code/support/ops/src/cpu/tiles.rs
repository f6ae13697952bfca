//! The small kernel that Winograd's products and attention come down to.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};

use super::simd::arch;

/// Rows of the result in one tile. Eight sums keep both multipliers of a core busy, and with two
/// vectors of `b` and one of `a` they fit into the sixteen registers of AVX2 (twelve sums did not:
/// the compiler moved one to memory and back).
pub(super) const ROWS: usize = 4;
/// Vectors of the result in one tile.
pub(super) const VECTORS: usize = 2;
/// Spare numbers at the end of a buffer: a vector can reach into them, but nobody uses them.
pub(super) const SLACK: usize = 16;

/// A run of neighbouring results, at most one vector long.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    /// The offset of the run in `b`, added to every entry of the table of starts.
    pub source: usize,
    /// Where in a row of the result the run begins.
    pub target: usize,
    pub len: usize,
}

/// The runs that cover `len` neighbouring numbers, read from `source` on and written from `target`
/// on.
pub(super) fn runs(
    source: usize,
    target: usize,
    len: usize,
    lanes: usize,
) -> impl Iterator<Item = Run> {
    let run = move |i| Run { source: source + i, target: target + i, len: lanes.min(len - i) };
    (0..len).step_by(lanes).map(run)
}

/// The start of each `b[k]`, and the largest of these starts.
pub(super) struct Starts {
    pub offsets: Vec<usize>,
    max: usize,
}

impl Starts {
    pub fn new(offsets: Vec<usize>) -> Self {
        let max = offsets.iter().copied().max().expect("a sum has terms");
        Self { offsets, max }
    }
}

/// `out[i][j] = Σ_k a[i][k] · b[k][j]` for some rows i and runs of j; with `accumulate`, `out[i][j]
/// += …`.
///
/// `a[i][k]` is at `i / 4 · a_panel + i % 4 · a_row + k · a_column`; it must exist, with any value,
/// for i up to the next multiple of four. `b[k][j]` of a run is at `starts[k] + run.source + j`;
/// `out[i][j]` at `i · out_row + run.target + j`.
pub(super) struct Tiles<'a> {
    pub a: &'a [f32],
    pub a_panel: usize,
    pub a_row: usize,
    pub a_column: usize,
    pub b: &'a [f32],
    pub starts: &'a Starts,
    pub runs: &'a [Run],
    pub out: &'a mut [f32],
    pub out_row: usize,
    pub rows: usize,
    pub accumulate: bool,
}

impl WithSimd for Tiles<'_> {
    type Output = ();
    /// All rows for two runs, then for the next two: that way, the part of `b` that two runs need
    /// stays in the nearest cache.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let panels = self.rows.div_ceil(ROWS);
        let depth = self.starts.offsets.len();
        let last_a =
            reach([(panels - 1, self.a_panel), (ROWS - 1, self.a_row), (depth - 1, self.a_column)]);
        assert!(last_a < self.a.len());
        let last_run = self.runs.iter().map(|run| run.source).max().unwrap_or(0);
        let end_b = reach([(1, self.starts.max), (1, last_run), (1, S::F32_LANES)]);
        assert!(end_b <= self.b.len());
        for runs in self.runs.chunks(VECTORS) {
            // As many panels together as the registers hold, and about the same number each time.
            let times = panels.div_ceil(panels_together(S::F32_LANES, runs.len()));
            let mut panel = 0;
            for left in (1..=times).rev() {
                let together = (panels - panel).div_ceil(left);
                // SAFETY: the first assertion covers the last panel, row and term, and the second
                // covers the last run and the largest start, so together they cover all. `runs` has
                // at least as many entries as the function is told to use, and there are `together`
                // panels from `panel` on.
                unsafe {
                    match (runs.len(), together) {
                        (1, 1) => tile::<S, 1, 1>(simd, &mut self, runs, panel),
                        (1, 2) => tile::<S, 2, 1>(simd, &mut self, runs, panel),
                        (1, 3) => tile::<S, 3, 1>(simd, &mut self, runs, panel),
                        (1, _) => tile::<S, 4, 1>(simd, &mut self, runs, panel),
                        (_, 1) => tile::<S, 1, VECTORS>(simd, &mut self, runs, panel),
                        (_, 2) => tile::<S, 2, VECTORS>(simd, &mut self, runs, panel),
                        _ => tile::<S, 3, VECTORS>(simd, &mut self, runs, panel),
                    }
                }
                panel += together;
            }
        }
    }
}

/// How far these steps reach, each given as a count and a length. Where a `usize` cannot hold that,
/// the largest `usize`, which is beyond every slice.
#[inline(always)]
pub(super) fn reach<const N: usize>(steps: [(usize, usize); N]) -> usize {
    steps.iter().fold(0, |sum: usize, (count, len)| sum.saturating_add(count.saturating_mul(*len)))
}

/// How many panels of four rows make one tile, with this many runs: as many as the registers hold.
/// Eight sums keep both multipliers of a core busy; more of them make more use of every number that
/// is fetched.
const fn panels_together(lanes: usize, runs: usize) -> usize {
    match (lanes, runs) {
        (16, 1) => 4,
        (16, _) => 3, // 24 sums; AVX-512 has 32 registers
        (_, 1) => 2,
        _ => 1,
    }
}

/// Computes and stores `P` panels of the first `N` runs.
///
/// The loops over `P`, `ROWS` and `N` have constant bounds, so the compiler unrolls them and keeps
/// `sums` in registers.
///
/// # Safety
/// `t.a[i][k]` exists for the rows i of panels `panel` to `panel + P`, up to the next multiple of
/// four, and every term k. A whole vector can be read from `t.b` for each of the first `N` runs and
/// each start.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // iterators here end up in memory
unsafe fn tile<S: Simd, const P: usize, const N: usize>(
    simd: S,
    t: &mut Tiles,
    runs: &[Run],
    panel: usize,
) {
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[[zero; N]; ROWS]; P];
    let (next, row, column) = (t.a_panel, t.a_row, t.a_column);
    // SAFETY: the first row of the panel has a first term.
    let mut a = unsafe { t.a.as_ptr().add(panel * next) };
    let mut bases = [t.b.as_ptr(); N];
    for j in 0..N {
        // SAFETY: what is read for the smallest start is in `t.b`, and not before this address.
        bases[j] = unsafe { bases[j].add(runs[j].source) };
    }
    for &start in &t.starts.offsets {
        let mut b = [zero; N];
        for j in 0..N {
            // SAFETY: the caller guarantees that a vector can be read here.
            b[j] = unsafe { load::<S>(bases[j].add(start)) };
        }
        for p in 0..P {
            for i in 0..ROWS {
                // SAFETY: this is `t.a[4 * (panel + p) + i][k]`, which exists.
                let a = simd.splat_f32s(unsafe { *a.add(p * next + i * row) });
                for j in 0..N {
                    sums[p][i][j] = simd.mul_add_e_f32s(a, b[j], sums[p][i][j]);
                }
            }
        }
        // After the last term the pointer may be beyond the end, but nothing is read through it
        // then.
        a = a.wrapping_add(column);
    }
    for p in 0..P {
        let first = (panel + p) * ROWS;
        for i in 0..ROWS.min(t.rows - first) {
            for j in 0..N {
                let out = &mut t.out[(first + i) * t.out_row + runs[j].target..][..runs[j].len];
                store(simd, sums[p][i][j], out, t.accumulate);
            }
        }
    }
}

/// A vector from any address.
///
/// # Safety
/// A whole vector's worth of numbers can be read at `from`.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller guarantees this; the address need not be a multiple of the vector's size.
    unsafe { std::ptr::read_unaligned(from as *const S::f32s) }
}

/// A vector to any address.
///
/// # Safety
/// A whole vector's worth of numbers can be written at `to`.
#[inline(always)]
pub(super) unsafe fn save<S: Simd>(to: *mut f32, vector: S::f32s) {
    // SAFETY: the caller guarantees this; the address need not be a multiple of the vector's size.
    unsafe { std::ptr::write_unaligned(to as *mut S::f32s, vector) }
}

/// Writes the first numbers of a vector to `out`, or adds them to it.
#[inline(always)]
fn store<S: Simd>(simd: S, sum: S::f32s, out: &mut [f32], accumulate: bool) {
    if out.len() == S::F32_LANES {
        // SAFETY: `out` is exactly one vector long.
        unsafe {
            let total = if accumulate { simd.add_f32s(load::<S>(out.as_ptr()), sum) } else { sum };
            save::<S>(out.as_mut_ptr(), total);
        }
    } else {
        let mut values = [0.0f32; SLACK];
        // SAFETY: `values` has SLACK numbers, and no vector has more.
        unsafe { save::<S>(values.as_mut_ptr(), sum) };
        for (out, value) in out.iter_mut().zip(values) {
            *out = if accumulate { *out + value } else { value };
        }
    }
}

/// How many numbers one vector of the current instruction set holds.
pub(super) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    arch().dispatch(Lanes)
}

/// Lends `work` some buffers that this thread keeps from one call to the next. Their contents are
/// whatever was left there.
pub(super) fn with_scratch<R, const N: usize>(work: impl FnOnce(&mut [Vec<f32>; N]) -> R) -> R {
    thread_local!(static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) });
    // Taken away, not borrowed: `work` may ask for more, or, while it waits for other threads, do
    // other work that asks for some.
    let mut taken = [const { Vec::new() }; N];
    SPARE.with_borrow_mut(|spare| {
        taken.iter_mut().for_each(|buffer| *buffer = spare.pop().unwrap_or_default())
    });
    let result = work(&mut taken);
    // Given back in the order in which the same work will take them next time.
    SPARE.with_borrow_mut(|spare| spare.extend(taken.into_iter().rev()));
    result
}

/// The first `len` numbers of a buffer, with any values; it grows if it has to.
pub(super) fn scratch_slice(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}
