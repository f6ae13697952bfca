//! The device that a build selects, or a sentence that says why there is none.

// ANCHOR: auto_device
/// The device that a build selects: `Cuda` with the feature `cuda`, `Cpu` without.
#[cfg(not(feature = "cuda"))]
pub type AutoDevice = dfdx::prelude::Cpu;
/// The device that a build selects: `Cuda` with the feature `cuda`, `Cpu` without.
#[cfg(feature = "cuda")]
pub type AutoDevice = dfdx::prelude::Cuda;
// ANCHOR_END: auto_device

/// Whether this build computes on a GPU.
pub const CUDA: bool = cfg!(feature = "cuda");

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

/// Opens the device.
///
/// # Errors
/// A sentence, if there is no driver or no GPU.
#[cfg(feature = "cuda")]
pub fn open_device(seed: u64) -> Result<AutoDevice, String> {
    use dfdx::prelude::Cache;
    // Ask the driver first: dfdx panics where there is a driver but no GPU.
    let hint = "check the NVIDIA driver with nvidia-smi, or build without --features cuda";
    cudarc::driver::result::init()
        .map_err(|e| format!("the CUDA driver does not start ({e:?}): {hint}"))?;
    let count = cudarc::driver::result::device::get_count()
        .map_err(|e| format!("no GPU can be counted ({e:?}): {hint}"))?;
    if count == 0 {
        return Err(format!("there is no GPU: {hint}"));
    }
    let device = AutoDevice::try_build(0, seed)
        .map_err(|e| format!("the GPU cannot be used ({e:?}): {hint}"))?;
    device.enable_cache();
    Ok(device)
}
