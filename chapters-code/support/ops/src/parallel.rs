//! Work on several threads, where the device has any.

/// `Send`, except with the feature `cuda`: dfdx's GPU stays with one thread, and the bound is
/// dropped.
#[cfg(not(feature = "cuda"))]
pub trait MaybeSend: Send {}
#[cfg(not(feature = "cuda"))]
impl<T: Send> MaybeSend for T {}
/// `Send`, except with the feature `cuda`: dfdx's GPU stays with one thread, and the bound is
/// dropped.
#[cfg(feature = "cuda")]
pub trait MaybeSend {}
#[cfg(feature = "cuda")]
impl<T> MaybeSend for T {}

/// `Sync`, except with the feature `cuda`.
#[cfg(not(feature = "cuda"))]
pub trait MaybeSync: Sync {}
#[cfg(not(feature = "cuda"))]
impl<T: Sync> MaybeSync for T {}
/// `Sync`, except with the feature `cuda`.
#[cfg(feature = "cuda")]
pub trait MaybeSync {}
#[cfg(feature = "cuda")]
impl<T> MaybeSync for T {}

/// How a device works on parts of a batch side by side; see [`crate::Replicas`]. By default it
/// does not: one part, one worker.
pub trait Parallel: Clone {
    /// How many parts a batch is cut into.
    const BATCH_PARTS: usize = 1;

    /// How many jobs [`Parallel::side_by_side`] runs at the same time.
    fn workers(&self) -> usize {
        1
    }
    /// A device like this one, with its own memory, for a job that runs alongside others.
    fn fork(&self) -> Self {
        self.clone()
    }
    /// Frees the memory that a forked device keeps for later. Its tensors should be gone by then;
    /// the memory of any that go later is freed as they go.
    fn retire(&self) {}
    /// Runs all the jobs, of which there are at most [`Parallel::workers`]; each job has a device
    /// of its own.
    fn side_by_side<R: MaybeSend, J: FnOnce() -> R + MaybeSend>(jobs: Vec<J>) -> Vec<R> {
        jobs.into_iter().map(|job| job()).collect()
    }
}
