//! How much memory an input takes: an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// No process gets more memory than this: a request for more is answered as if none were left.
const CEILING: usize = 2 << 30;

/// The system allocator, with a count of the bytes in use.
struct Counting;

// SAFETY: every call is passed on to the system allocator, or answered with null, which
// means that there is no memory. Nothing else is done with the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc`, and the system allocator has the
        // same.
        count(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the contract of `alloc_zeroed`, and the system allocator has
        // the same.
        count(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer comes from `alloc` above with this layout, and thus from the system
        // allocator.
        unsafe { System.dealloc(pointer, layout) };
        LIVE.fetch_sub(layout.size(), Relaxed);
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`; the caller also upholds the contract for the new size.
        let moved = count(size, || unsafe { System.realloc(pointer, layout, size) });
        if !moved.is_null() {
            LIVE.fetch_sub(layout.size(), Relaxed);
        }
        moved
    }
}

fn count(size: usize, allocate: impl FnOnce() -> *mut u8) -> *mut u8 {
    let live = LIVE.fetch_add(size, Relaxed).saturating_add(size);
    let pointer = if live > CEILING { null_mut() } else { allocate() };
    match pointer.is_null() {
        true => drop(LIVE.fetch_sub(size, Relaxed)),
        false => drop(PEAK.fetch_max(live, Relaxed)),
    }
    pointer
}

/// The most bytes that `work` held at any moment, on top of those that were in use before.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let done = work();
    (done, PEAK.load(Relaxed).saturating_sub(before))
}
