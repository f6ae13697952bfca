//! Temporary files, made so that the next process can tell leftovers from files still in use.
//!
//! Each is locked by the process that writes it. The lock dies with the process, however the
//! process ends, so a temporary file that can be locked belongs to nobody.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{Builder, NamedTempFile};

const PREFIX: &str = ".writing-";
const SUFFIX: &str = ".tmp";
/// Letters and digits between prefix and suffix.
const RANDOM: usize = 12;
/// A folder or file may vanish this many times while it is being made.
const TRIES: usize = 100;

/// A new, locked temporary file in a folder, which is made if it is missing. The first call for a
/// folder removes the files left there by killed processes.
pub(crate) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    sweep_once(folder);
    for _ in 0..TRIES {
        fs::create_dir_all(folder)?;
        match create(folder) {
            // Another process may have swept the file away before it was locked.
            Ok(file) if lock(file.as_file())? && file.path().exists() => return Ok(file),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Err(io::Error::other("temporary files vanish as soon as they are made"))
}

/// Readable by those whom the umask allows, like any other new file. Errors do not mention the
/// file's name, unlike those of `tempfile_in`.
fn create(folder: &Path) -> io::Result<NamedTempFile<File>> {
    let open = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
    Builder::new().prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM).make_in(folder, open)
}

/// Whether no other process holds this file. A file system without locks knows of no holder: then
/// nothing is protected, and [`sweep`] removes nothing.
pub(crate) fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
    }
}

/// Sweeps each folder once per process: what appears later belongs to a process that is running
/// alongside this one.
fn sweep_once(folder: &Path) {
    static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_path_buf()) {
        sweep(folder);
    }
}

/// Removes the temporary files left in a folder by killed processes. One that cannot be removed,
/// such as another user's, stays: it is in nobody's way.
pub(crate) fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_temporary(&entry.file_name()) {
            remove_if_abandoned(&entry.path()).ok();
        }
    }
}

fn is_temporary(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
    random.is_some_and(|random| {
        random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    match file.try_lock() {
        Ok(()) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_abandoned_temporary_files_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let live = temporary(folder.path()).unwrap();
        assert!(is_temporary(live.path().file_name().unwrap()));
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let abandoned = file(".writing-0123456789aB.tmp");
        let own = [
            ".writing-",
            ".writing-x.tmp",
            ".writing-0123456789a-.tmp",
            "writing-0123456789aB.tmp",
        ]
        .map(file);
        sweep(folder.path());
        assert!(!abandoned.exists());
        assert!(live.path().exists(), "its process is alive");
        assert!(own.iter().all(|path| path.exists()), "these are somebody's");
    }
}
