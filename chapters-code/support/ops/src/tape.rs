//! What backward passes have in common.

/// Takes a gradient out of `$grads`, leaving a token in its place.
macro_rules! take_gradient {
    ($grads:expr, $tensor:expr, $device:expr) => {{
        let token = dfdx::tensor::Storage::<f32>::try_alloc_len(&$device, 1)?;
        std::mem::replace($grads.get_or_alloc_mut(&$tensor)?, token)
    }};
}
pub(crate) use take_gradient;
