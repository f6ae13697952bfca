//! Jobs side by side, and threads that stay awake between kernels.
//!
//! A rayon thread that finds no work goes to sleep after a few microseconds, and waking it takes
//! longer than a small kernel does. A step of training or sampling is a chain of hundreds of
//! kernels, so here a thread that has run out of work spends a moment looking for more, as the
//! threads of OpenMP do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dfdx::prelude::Cpu;
#[cfg(not(feature = "cuda"))]
use dfdx::tensor::Cache;

use crate::parallel::Parallel;

/// How long a thread keeps looking for work after the last kernel started, or after it last had
/// work itself.
const PATIENCE: Duration = Duration::from_micros(500);

/// How many times the processor pauses between two looks: well below a microsecond in all.
const PAUSES: u32 = 8;
/// How many times a thread looks before it offers its core to other threads.
const YIELD_EVERY: u32 = 64;

/// In a build for a GPU, nothing waits for the processor.
#[cfg(feature = "cuda")]
impl Parallel for Cpu {}

#[cfg(not(feature = "cuda"))]
impl Parallel for Cpu {
    const BATCH_PARTS: usize = 2;

    fn workers(&self) -> usize {
        rayon::current_num_threads()
    }
    // Two threads must not ask dfdx's cache for memory at the same time: after one has seen that
    // there is some, the other may take it out first. So every worker has
    // a device, and a cache, of its own.
    fn fork(&self) -> Self {
        let fork = Cpu::default();
        fork.enable_cache();
        fork
    }
    // A dfdx device that is dropped does not free what its cache holds.
    fn retire(&self) {
        self.disable_cache();
    }
    /// A thread that has done its job helps with the kernels of the others.
    ///
    /// All of it happens on rayon's threads: a thread outside the pool would block once per kernel;
    /// this way it blocks once in total.
    fn side_by_side<R: Send, J: FnOnce() -> R + Send>(jobs: Vec<J>) -> Vec<R> {
        use rayon::prelude::*;
        awake();
        rayon::scope(|_| jobs.into_par_iter().with_max_len(1).map(|job| job()).collect())
    }
}

/// Whether threads are looking for work.
static AWAKE: AtomicBool = AtomicBool::new(false);
/// When the last kernel started, in nanoseconds since the first.
static LAST: AtomicU64 = AtomicU64::new(0);

fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Every kernel with parallel work calls this when it starts.
pub(super) fn awake() {
    if rayon::current_num_threads() == 1 {
        return;
    }
    LAST.store(now(), Ordering::Relaxed);
    if !AWAKE.swap(true, Ordering::Relaxed) {
        let caller = rayon::current_thread_index();
        rayon::spawn_broadcast(move |context| {
            // The caller has better things to do.
            if Some(context.index()) != caller {
                look_for_work();
            }
        });
    }
}

fn look_for_work() {
    let (mut idle, mut worked) = (0u32, 0);
    while now().saturating_sub(worked.max(LAST.load(Ordering::Relaxed)))
        < PATIENCE.as_nanos() as u64
    {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            (idle, worked) = (0, now());
            continue;
        }
        idle += 1;
        // Mostly wait in place, which is what keeps this thread on a core of its own; now and then
        // let others have it.
        if idle.is_multiple_of(YIELD_EVERY) {
            std::thread::yield_now();
        } else {
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
    }
    AWAKE.store(false, Ordering::Relaxed);
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn jobs_run_on_rayons_threads_and_answer_in_their_order() {
        for count in 0..5 {
            let jobs = (0..count).map(|job| move || (job, rayon::current_thread_index().is_some()));
            let expected: Vec<_> = (0..count).map(|job| (job, true)).collect();
            assert_eq!(Cpu::side_by_side(jobs.collect()), expected);
        }
    }
}
