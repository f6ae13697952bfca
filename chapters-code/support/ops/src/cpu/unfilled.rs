//! Tensors in memory that nobody has filled with zeros before.
//!
//! dfdx keeps memory that it no longer needs and gives it out again, but fills it with zeros first,
//! on one thread. A kernel that writes every element needs no zeros, and where two threads write,
//! filling costs twice: the lines of one core's cache have to move to the other.
//!
//! dfdx keeps memory by its size and alignment, not by what was in it, and lets anyone say what the
//! zero of a type of theirs is. So we ask it for numbers of a type whose zero is nothing at all.

use std::mem::{ManuallyDrop, MaybeUninit};

use dfdx::dtypes::{SafeZeros, Unit};
use dfdx::prelude::*;
use dfdx::tensor::Storage;

/// As long as an `f32` and aligned like one, with any value or none.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Hole(MaybeUninit<f32>);

impl Default for Hole {
    #[inline(always)]
    fn default() -> Self {
        Self(MaybeUninit::uninit())
    }
}

impl std::fmt::Debug for Hole {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("_")
    }
}

// No hole is like another.
impl PartialEq for Hole {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl PartialOrd for Hole {
    fn partial_cmp(&self, _: &Self) -> Option<std::cmp::Ordering> {
        None
    }
}

// SAFETY: any bits make a hole, and it goes to no GPU.
#[cfg(feature = "cuda")]
unsafe impl cudarc::driver::ValidAsZeroBits for Hole {}
// SAFETY: as above.
#[cfg(feature = "cuda")]
unsafe impl cudarc::driver::DeviceRepr for Hole {}

impl SafeZeros for Hole {}

impl Unit for Hole {
    const ONE: Self = Self(MaybeUninit::new(1.0));
}

/// A tensor to be written: its elements have any value.
pub(super) fn unfilled<S: Shape>(device: &Cpu, shape: S) -> Tensor<S, f32, Cpu> {
    let mut holes = Storage::<Hole>::try_alloc_len(device, shape.num_elements())
        .unwrap_or_else(|e| panic!("{e}"));
    let mut memory = ManuallyDrop::new(std::mem::take(&mut *holes));
    // Without its memory it must not go back to where dfdx keeps memory.
    std::mem::forget(holes);
    // SAFETY: the memory is from the global allocator, for as many elements of the same size and
    // alignment. What they hold was a number before, or is not known yet: an f32 has no wrong bits,
    // and no kernel reads what it is to write.
    let values = unsafe {
        Vec::from_raw_parts(memory.as_mut_ptr() as *mut f32, memory.len(), memory.capacity())
    };
    device.tensor_from_vec(values, shape)
}
