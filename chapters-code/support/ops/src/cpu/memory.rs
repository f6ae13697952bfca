//! The elements of dfdx's tensors, as slices.
//!
//! # A known limit
//!
//! dfdx 0.13 keeps the storage of a tensor private. It lends single elements (`&t[index]`) or
//! copies all of them, and nothing in its public interface lends the whole. A kernel needs the
//! whole, so [`elements`] and [`elements_mut`] extend a pointer to the first element over the
//! tensor. That pointer never leaves the one allocation that holds all elements, but the reference
//! that it was made from covers only one of them: of the two proposed sets of aliasing rules, Tree
//! Borrows accepts this and Stacked Borrows rejects it. Compiled code is not affected: for a
//! `&f32`, rustc promises LLVM that at least four bytes can be read, never that no others can.
//!
//! The results of kernels take another route: each is written as a `Vec` before it becomes a
//! tensor, and dfdx does lend the storage of gradients.

use dfdx::prelude::*;

use super::stale;
use crate::memory::{Buffer, Memory, Outputs};

/// The elements of a contiguous tensor, without copying.
fn elements<S: Shape>(t: &Tensor<S, f32, Cpu>) -> &[f32] {
    let shape = t.shape().concrete();
    let len = t.shape().num_elements();
    assert!(len > 0, "a tensor without elements");
    let origin: *const f32 = &t[S::Concrete::default()];
    // dfdx keeps strides private, but gives the address of any element: a tensor is contiguous if a
    // step along each axis passes as many elements as the axes after it hold.
    let at = |index| &t[index] as *const f32 as usize;
    let distance = |index| at(index).wrapping_sub(origin as usize) / size_of::<f32>();
    let (mut expected, mut last) = (1, S::Concrete::default());
    for axis in (0..S::NUM_DIMS).rev() {
        if shape[axis] > 1 {
            let mut index = S::Concrete::default();
            index[axis] = 1;
            let step = distance(index);
            assert_eq!(step, expected, "the tensor is not contiguous: call .contiguous() first");
        }
        last[axis] = shape[axis] - 1;
        expected *= shape[axis];
    }
    assert_eq!(distance(last), len - 1, "the last element is the last in memory");
    // SAFETY: dfdx keeps all elements in one `Vec<f32>`, initialised, and has checked that `origin`
    // and the element `len - 1` further on, which is the last, are in it. The borrow of `t` keeps
    // the `Vec` alive and unchanged: writing to a tensor first copies any storage that it shares.
    // Beyond that, this relies on what the known limit above describes: a pointer made from a
    // reference to one element may reach the others.
    unsafe { std::slice::from_raw_parts(origin, len) }
}

/// The elements of a contiguous tensor, for writing.
fn elements_mut<S: Shape>(t: &mut Tensor<S, f32, Cpu>) -> &mut [f32] {
    let len = elements(t).len();
    // `IndexMut` gives this tensor storage of its own (by copying it if others share it).
    let origin: *mut f32 = &mut t[S::Concrete::default()];
    // SAFETY: as in `elements`, with the same known limit. `t` is borrowed for writing and its
    // storage is no other tensor's, so nothing else reads or writes these elements meanwhile.
    unsafe { std::slice::from_raw_parts_mut(origin, len) }
}

impl Memory for Cpu {
    type Read<'a> = &'a [f32];
    type Write<'a> = &'a mut [f32];

    fn read<S: Shape>(t: &Tensor<S, f32, Self>) -> &[f32] {
        elements(t)
    }
    fn write<S: Shape>(t: &mut Tensor<S, f32, Self>) -> &mut [f32] {
        elements_mut(t)
    }
    fn read_buffer(b: &Buffer<Self>) -> &[f32] {
        b
    }
    fn write_buffer(b: &mut Buffer<Self>) -> &mut [f32] {
        b
    }
    fn reborrow<'a>(elements: &'a mut &mut [f32]) -> &'a mut [f32] {
        elements
    }
}

impl Outputs for Cpu {
    fn output<S: Shape>(&self, shape: S, fill: impl FnOnce(&mut [f32])) -> Tensor<S, f32, Self> {
        let mut values = stale::numbers(self, shape.num_elements());
        fill(&mut values);
        self.tensor_from_vec(values, shape)
    }
}
