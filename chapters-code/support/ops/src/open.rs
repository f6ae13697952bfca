//! The device that a build selects, or an error that says why there is none.

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

/// The error for a device that cannot be opened; its source is what the driver reports.
#[derive(Debug, thiserror::Error)]
#[error("{problem} (check the NVIDIA driver with nvidia-smi, or build without --features cuda)")]
pub struct OpenError {
    problem: &'static str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Opens the device.
///
/// # Errors
/// Never on the processor; on a GPU, if there is no driver or no GPU.
#[cfg(not(feature = "cuda"))]
pub fn open_device(seed: u64) -> Result<AutoDevice, OpenError> {
    use dfdx::prelude::Cache;
    let device = AutoDevice::seed_from_u64(seed);
    device.enable_cache();
    Ok(device)
}

/// Opens the device.
///
/// # Errors
/// If there is no driver or no GPU.
#[cfg(feature = "cuda")]
pub fn open_device(seed: u64) -> Result<AutoDevice, OpenError> {
    use cudarc::driver::result;
    use dfdx::prelude::Cache;
    let failed = |problem| move |source| OpenError { problem, source: Some(source) };
    // Ask the driver first: dfdx panics if there is a driver but no GPU.
    result::init().map_err(|e| failed("the CUDA driver does not start")(e.into()))?;
    let count = result::device::get_count();
    let count = count.map_err(|e| failed("the GPUs cannot be counted")(e.into()))?;
    if count == 0 {
        return Err(OpenError { problem: "there is no GPU", source: None });
    }
    // dfdx's error type is not a std error.
    let device = AutoDevice::try_build(0, seed)
        .map_err(|e| failed("the GPU cannot be used")(format!("{e:?}").into()))?;
    device.enable_cache();
    Ok(device)
}
