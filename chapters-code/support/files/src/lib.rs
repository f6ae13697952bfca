//! Used by the programs, and by a library only for model directories: files that are never
//! half-written. New content goes to a temporary file next to the target, is flushed to the disk,
//! and takes the target's name in one step. At any moment, a reader sees the old file or the new
//! one.
//!
//! [`check`] finds out early whether that will work, and [`claim`] gives one process a folder for
//! itself. What a killed process left half-written is removed by the next one that writes to the
//! same folder.
//!
//! Where there is no disk, as in a browser, files can be held in memory: see [`hold`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

mod folder;
mod output;
mod temporary;

pub use folder::{claim, Claim};
pub use output::{check, write, Place};

/// A file operation that failed: which file, what was tried, and, as its source, why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    pub action: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// For use in `map_err`: `File::open(p).map_err(FileError::new("open", p))`.
    pub fn new(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }
}

static HELD: Mutex<BTreeMap<PathBuf, Vec<u8>>> = Mutex::new(BTreeMap::new());

fn held() -> MutexGuard<'static, BTreeMap<PathBuf, Vec<u8>>> {
    // A thread that panicked has left the map whole.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds a file in memory. From now on [`read`] and [`exists`] find it there, before they look at
/// the disk.
pub fn hold(path: impl Into<PathBuf>, bytes: Vec<u8>) {
    held().insert(path.into(), bytes);
}

/// Holds every file below a folder in memory, under another name of the folder.
///
/// # Errors
/// If one cannot be read.
pub fn hold_below(folder: impl AsRef<Path>, name: impl AsRef<Path>) -> Result<(), FileError> {
    for path in below(&folder)? {
        hold(name.as_ref().join(&path), read(folder.as_ref().join(&path))?);
    }
    Ok(())
}

/// Whether there is such a file or folder.
pub fn exists(path: impl AsRef<Path>) -> bool {
    let path = path.as_ref();
    held().keys().any(|held| held.starts_with(path)) || path.exists()
}

/// Reads a whole file.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    if let Some(bytes) = held().get(path) {
        return Ok(bytes.clone());
    }
    std::fs::read(path).map_err(FileError::new("read", path))
}

/// The paths of all files below a folder, as seen from there, in order.
///
/// # Errors
/// If a folder cannot be read.
pub fn below(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>, FileError> {
    let folder = folder.as_ref();
    let fail = || FileError::new("read folder", folder);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail())? {
        let entry = entry.map_err(fail())?;
        let name = PathBuf::from(entry.file_name());
        match entry.path().is_dir() {
            true => paths.extend(below(entry.path())?.into_iter().map(|path| name.join(path))),
            false => paths.push(name),
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    #[test]
    fn replaces_in_one_step_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        super::write(&path, b"one").unwrap();
        super::write(&path, b"two").unwrap();
        assert_eq!(super::read(&path).unwrap(), b"two");
        super::write(folder.path().join("c.txt"), b"three").unwrap();
        assert_eq!(
            super::below(&folder).unwrap(),
            [std::path::Path::new("a/b.txt"), std::path::Path::new("c.txt")]
        );
        super::hold_below(&folder, folder.path().join("held")).unwrap();
        assert_eq!(super::read(folder.path().join("held/a/b.txt")).unwrap(), b"two");
    }

    #[test]
    fn a_file_in_memory_is_found_like_one_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere/a.txt");
        assert!(!super::exists(&path) && !super::exists(path.parent().unwrap()));
        super::hold(&path, b"held".to_vec());
        assert!(super::exists(&path) && super::exists(path.parent().unwrap()));
        assert!(!super::exists(folder.path().join("now")), "half a name is no name");
        assert_eq!(super::read(&path).unwrap(), b"held");
        super::read(path.with_extension("csv")).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the disk is as it was");
    }

    #[test]
    fn an_unwritable_target_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let blocker = folder.path().join("file");
        super::write(&blocker, b"x").unwrap();
        let error = super::write(blocker.join("below"), b"y").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        assert_eq!(super::read(&blocker).unwrap(), b"x");
    }
}
