//! Keeps threads awake between kernels.
//!
//! A thread of rayon that finds no work goes to sleep after a few microseconds, and waking it takes longer than a small
//! kernel lasts. A step of training or sampling is a chain of hundreds of kernels, so here a thread that ran out of work goes
//! on looking for a moment, as the threads of OpenMP do.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a thread goes on looking for work after the start of the last kernel, or after its own last work.
const PATIENCE: Duration = Duration::from_micros(500);

/// Pauses of the processor between two looks, well below a microsecond.
const PAUSES: u32 = 8;
/// Looks between two offers of the core to other threads.
const YIELD_EVERY: u32 = 64;

/// What the threads of one group know of each other.
struct Group {
    /// Whether threads are looking.
    awake: AtomicBool,
    /// When the last kernel started, in nanoseconds since the first.
    last: AtomicU64,
}

/// The groups: rayon's own threads, and those that work side by side.
static GROUPS: [Group; 1 + MOST] =
    [const { Group { awake: AtomicBool::new(false), last: AtomicU64::new(0) } }; 1 + MOST];
/// The most groups that work side by side.
pub(super) const MOST: usize = 64;

/// How many times groups are at work side by side now, while rayon's own threads rest.
pub(super) static SIDE_BY_SIDE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The group that this thread belongs to.
    pub(super) static GROUP: Cell<usize> = const { Cell::new(0) };
}

fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Every kernel with parallel work calls this when it starts.
pub(super) fn awake() {
    if rayon::current_num_threads() == 1 {
        return;
    }
    let number = GROUP.get();
    let group = &GROUPS[number];
    group.last.store(now(), Ordering::Relaxed);
    if !group.awake.swap(true, Ordering::Relaxed) {
        let caller = rayon::current_thread_index();
        rayon::spawn_broadcast(move |context| {
            // The caller has better things to do.
            if Some(context.index()) != caller {
                look_for_work(number);
            }
        });
    }
}

fn look_for_work(number: usize) {
    let group = &GROUPS[number];
    let (mut idle, mut worked) = (0u32, 0);
    while now().saturating_sub(worked.max(group.last.load(Ordering::Relaxed))) < PATIENCE.as_nanos() as u64 {
        if number == 0 && SIDE_BY_SIDE.load(Ordering::Relaxed) > 0 {
            break; // others need the cores
        }
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            (idle, worked) = (0, now());
            continue;
        }
        idle += 1;
        // Mostly wait in place, which is what keeps this thread on a core of its own; now and then let others have it.
        if idle.is_multiple_of(YIELD_EVERY) {
            std::thread::yield_now();
        } else {
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
    }
    group.awake.store(false, Ordering::Relaxed);
}
