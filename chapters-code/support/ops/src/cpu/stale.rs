//! Memory for results: that of earlier tensors, not filled with zeros first.
//!
//! dfdx keeps memory that it no longer needs and hands it out again, but fills it with zeros first,
//! on one thread. A kernel that writes every element needs no zeros, and where two threads write,
//! filling is paid for twice: cache lines have to move from one core to the other.
//!
//! dfdx sorts memory by size and alignment, not by the type that it held, and allocates for any
//! type that says it may be filled with zeros. So we ask it for elements of a type of our own,
//! which filling leaves unchanged. Nothing here is ever uninitialised: dfdx's cache takes memory
//! from a `Vec` that is initialised over its whole length, and where the cache has none, dfdx makes
//! a `Vec` of zeros.

use std::mem::ManuallyDrop;

use dfdx::dtypes::{SafeZeros, Unit};
use dfdx::prelude::*;
use dfdx::tensor::Storage;

/// A number left over from an earlier tensor.
#[derive(Copy, Debug, Default, PartialEq, PartialOrd)]
#[repr(transparent)]
struct Stale(f32);

#[expect(clippy::non_canonical_clone_impl, reason = "filling memory must leave it as it is")]
impl Clone for Stale {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
    /// Leaves the number as it is. `[T]::fill`, which dfdx calls on memory from its cache, uses
    /// this to assign to all elements but the last. (Where a standard library copies instead,
    /// filling takes longer, but is just as correct.)
    #[inline(always)]
    fn clone_from(&mut self, _: &Self) {}
}

// SAFETY: an `f32` whose bits are all zero is a number.
#[cfg(feature = "cuda")]
unsafe impl cudarc::driver::ValidAsZeroBits for Stale {}
// SAFETY: it is laid out like an `f32`, which may be sent to a GPU; no `Stale` is ever sent to one.
#[cfg(feature = "cuda")]
unsafe impl cudarc::driver::DeviceRepr for Stale {}

impl SafeZeros for Stale {}

impl Unit for Stale {
    const ONE: Self = Self(1.0);
}

/// `len` numbers left over from earlier tensors, or zeros.
pub(super) fn numbers(device: &Cpu, len: usize) -> Vec<f32> {
    let mut stale = Storage::<Stale>::try_alloc_len(device, len).unwrap_or_else(|e| panic!("{e}"));
    let mut memory = ManuallyDrop::new(std::mem::take(&mut *stale));
    // `stale` no longer has its memory, so it must not be dropped, which would put an empty `Vec`
    // into dfdx's cache.
    std::mem::forget(stale);
    // SAFETY: pointer, length and capacity are those of one `Vec<Stale>`, which is never dropped.
    // A `Stale` is an initialised `f32` and nothing else (`repr(transparent)`), so size, alignment
    // and values are those of a `Vec<f32>`.
    unsafe { Vec::from_raw_parts(memory.as_mut_ptr().cast(), memory.len(), memory.capacity()) }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::*;

    /// The values show that the memory was not filled; the address shows that it was used again.
    #[test]
    fn memory_of_a_former_tensor_is_used_again_as_it_was() {
        let device = Cpu::default();
        device.enable_cache();
        assert_eq!(super::numbers(&device, 1000), [0.0; 1000]);
        let values: Vec<f32> = (1..=1000).map(|i| i as f32).collect();
        let used = device.tensor_from_vec(values.clone(), (1000,));
        let address = &used[[0]] as *const f32;
        drop(used);
        let again = super::numbers(&device, 1000);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(again[..999], values[..999]);
    }
}
