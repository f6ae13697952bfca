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
