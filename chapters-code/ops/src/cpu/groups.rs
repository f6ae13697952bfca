//! Groups of threads that work side by side.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::threads::{GROUP, MOST, SIDE_BY_SIDE};

/// How many jobs [`side_by_side`] can do at the same time.
pub(super) fn lanes() -> usize {
    rayon::current_num_threads().min(MOST)
}

/// Does all jobs at the same time, at most [`lanes`] of them. Each has its share of the threads to itself: kernels of different
/// jobs neither wait for one another nor take one another's work.
pub(super) fn side_by_side<R: Send, J: FnOnce() -> R + Send>(jobs: Vec<J>) -> Vec<R> {
    if jobs.len() == 1 {
        return jobs.into_iter().map(|job| job()).collect();
    }
    let groups = groups(rayon::current_num_threads(), jobs.len());
    let mut results: Vec<Option<R>> = jobs.iter().map(|_| None).collect();
    let others_rest = OthersRest::new();
    start(&groups, jobs.into_iter().zip(&mut results));
    drop(others_rest);
    results.into_iter().map(|result| result.expect("every job was done")).collect()
}

/// As long as it lives, rayon's own threads do not look for work.
struct OthersRest;

impl OthersRest {
    fn new() -> Self {
        SIDE_BY_SIDE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for OthersRest {
    fn drop(&mut self) {
        SIDE_BY_SIDE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts one job in each group, and returns when all are done.
fn start<'a, R: Send + 'a, J: FnOnce() -> R + Send>(
    groups: &[ThreadPool],
    mut jobs: impl Iterator<Item = (J, &'a mut Option<R>)>,
) {
    if let (Some((group, others)), Some((job, result))) = (groups.split_first(), jobs.next()) {
        group.in_place_scope(|scope| {
            scope.spawn(|_| *result = Some(job()));
            start(others, jobs);
        });
    }
}

/// `count` groups that share `threads` threads. They are made once.
fn groups(threads: usize, count: usize) -> Arc<Vec<ThreadPool>> {
    type Made = HashMap<(usize, usize), Arc<Vec<ThreadPool>>>;
    static MADE: OnceLock<Mutex<Made>> = OnceLock::new();
    let make = || {
        let of_group = |group: usize| {
            ThreadPoolBuilder::new()
                .num_threads(threads / count + usize::from(group < threads % count))
                .start_handler(move |_| GROUP.set(1 + group))
                .build()
                .unwrap_or_else(|e| panic!("threads cannot be started: {e}"))
        };
        Arc::new((0..count).map(of_group).collect())
    };
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(|e| e.into_inner());
    made.entry((threads, count)).or_insert_with(make).clone()
}
