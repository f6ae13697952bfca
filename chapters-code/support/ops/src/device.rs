//! What the functions of this crate ask of a device.

use crate::kernels::Kernels;
use crate::memory::{Memory, Outputs};
use crate::parallel::Parallel;

/// A device on which the U-Net runs: it has memory, works on parts of a batch side by side, and
/// offers the kernels.
///
/// Generic code needs only this one bound. Its supertraits are for code that names a concrete
/// device and calls their functions.
pub trait UNetDevice: Memory + Outputs + Parallel + Kernels {}

impl<D: Memory + Outputs + Parallel + Kernels> UNetDevice for D {}
