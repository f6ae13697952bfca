//! Used by the programs, and by a library only for model directories. Files are never half-written:
//! new content goes to a temporary file next to the target, is flushed to the disk,
//! and takes the target's name in one step. At any moment, a reader sees the old file or the new
//! one.
//!
//! [`check`] finds out early whether that will work, and [`claim`] gives one process a folder to
//! itself. What a killed process left half-written is removed by the next one that writes to the
//! same folder.
//!
//! Code that reads files through the trait [`Files`] gets them from the [`Disk`], or, where there
//! is none, as in a browser, from [`Memory`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

mod folder;
mod output;
mod temporary;

pub use folder::{claim, Claim};
pub use output::{check, write, Place};

/// A failed file operation: what was tried, on which file, and why it failed.
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

/// Where files are read from.
pub trait Files {
    /// Whether there is such a file or folder.
    fn exists(&self, path: &Path) -> bool;

    /// Reads a whole file.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError>;
}

/// The disk.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Files for Disk {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        std::fs::read(path).map_err(FileError::new("read", path))
    }
}

/// Files that are held in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// Memory that holds no files yet.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a file, or replaces it.
    pub fn hold(&mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) {
        self.0.insert(path.into(), bytes);
    }
}

impl Files for Memory {
    fn exists(&self, path: &Path) -> bool {
        self.0.keys().any(|held| held.starts_with(path))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        let missing = || FileError::new("read", path)(io::ErrorKind::NotFound.into());
        self.0.get(path).cloned().ok_or_else(missing)
    }
}

/// Reads a whole file from the disk.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, FileError> {
    Disk.read(path.as_ref())
}

/// The paths of all files below a folder, relative to it and in order.
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
    }

    #[test]
    fn a_file_in_memory_is_found_like_one_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("somewhere/a.txt");
        super::write(&path, b"held").unwrap();
        let mut memory = super::Memory::new();
        memory.hold(&path, b"held".to_vec());
        for files in [&super::Disk as &dyn super::Files, &memory] {
            assert!(files.exists(&path) && files.exists(path.parent().unwrap()));
            assert!(!files.exists(&folder.path().join("some")), "half a name is no name");
            assert_eq!(files.read(&path).unwrap(), b"held");
            let error = files.read(&path.with_extension("csv")).unwrap_err();
            assert!(error.to_string().contains("a.csv"), "{error}");
            assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
        }
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
