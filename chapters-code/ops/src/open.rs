//! The device that a build selects, or a sentence that says why there is none.

use crate::AutoDevice;

/// Opens the device.
///
/// # Errors
/// Never on the processor; on a GPU, a sentence if there is no driver or no GPU.
#[cfg(not(feature = "cuda"))]
pub fn open_device(seed: u64) -> Result<AutoDevice, String> {
    use dfdx::prelude::Cache;
    let device = AutoDevice::seed_from_u64(seed);
    device.enable_cache();
    Ok(device)
}
