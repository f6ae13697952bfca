//! Files that are never half-written: new content goes to a temporary file beside the target, is flushed to the disk,
//! and takes the target's name in one step. Whoever looks, at any moment, sees the old file or the new one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file operation that failed: which file, what was tried, why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
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

/// Writes `bytes` to `path`, replacing what was there. Folders on the way are made.
///
/// # Errors
/// If the folder or file cannot be written; what was at `path` is then unchanged.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FileError> {
    let path = path.as_ref();
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(FileError::new("create folder", folder))?;
    let replace = || -> io::Result<()> {
        let mut temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
        temporary.write_all(bytes)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            temporary.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|e| e.error)?;
        // The new name itself must reach the disk too. Not every system lets a folder be opened for that.
        if let Ok(folder) = File::open(folder) {
            folder.sync_all().ok();
        }
        Ok(())
    };
    replace().map_err(FileError::new("write", path))
}

/// Reads a whole file.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, FileError> {
    let path = path.as_ref();
    std::fs::read(path).map_err(FileError::new("read", path))
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
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
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
