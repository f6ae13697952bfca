//! Whether there is enough memory for what was asked for.

/// Bytes of memory that this process can still use, if the system reports them.
fn free() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let limit = system.cgroup_limits().map(|limits| limits.free_memory);
    let free =
        limit.map_or(system.available_memory(), |limit| limit.min(system.available_memory()));
    (free > 0).then_some(free)
}

/// Checks, before the work begins, that about `bytes` of memory are available for `what`.
///
/// # Errors
/// If they are not; then `advice` says what to change. Where the system does not say how much
/// memory is free, there is no error.
pub fn ensure(bytes: u128, what: &str, advice: &str) -> anyhow::Result<()> {
    match free() {
        Some(free) if bytes > free as u128 => {
            let (needed, free) = (size(bytes), size(free as u128));
            anyhow::bail!(
                "{what} needs about {needed} of memory, but only {free} is free: {advice}"
            )
        }
        _ => Ok(()),
    }
}

/// A number of bytes, with a unit.
pub fn size(bytes: u128) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_no_machine_has_is_an_error() {
        super::ensure(1, "a byte", "take less").unwrap();
        let error = super::ensure(1 << 70, "a picture of the sky", "take less").unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("a picture of the sky needs about 1180591620717.4 GB"),
            "{error}"
        );
        assert!(error.ends_with("is free: take less"), "{error}");
    }
}
