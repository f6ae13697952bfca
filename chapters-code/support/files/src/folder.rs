//! Folders that are made when they are missing, and folders that one process has to itself.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::temporary::{lock, sweep, temporary};
use crate::FileError;

/// Folders that had to be made. When this is dropped, those that are still empty are removed.
#[derive(Debug)]
pub(crate) struct Made(Vec<PathBuf>);

impl Made {
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made = Self(folder.ancestors().take_while(missing).map(Path::to_path_buf).collect());
        fs::create_dir_all(folder)?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // The innermost first. One that is not empty cannot be removed, and neither can those
        // around it.
        self.0.iter().take_while(|folder| fs::remove_dir(folder).is_ok()).count();
    }
}

/// A folder that no other process may write to while this value lives. See [`claim`].
#[derive(Debug)]
pub struct Claim {
    _made: Made,
    _lock: File,
}

/// Claims a folder and everything in it. A missing folder is made, and removed when the claim ends
/// if nothing was put into it. Half-written files left there by killed
/// processes are removed. The claim ends with the process, however the process ends.
///
/// A file system without locks lets everybody in.
///
/// # Errors
/// If the folder cannot be made or written to, or another process has claimed it.
pub fn claim(folder: impl AsRef<Path>) -> Result<Claim, FileError> {
    let folder = folder.as_ref();
    let claim = || {
        let mut made = Made::new(folder)?;
        let file = open_for_lock(folder)?;
        if !lock(&file)? {
            made.0.clear(); // the other process needs them
            let problem = "another run writes there: wait until it ends, or choose another folder";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, problem));
        }
        sweep_around(folder);
        temporary(folder)?;
        Ok(Claim { _made: made, _lock: file })
    };
    claim().map_err(FileError::new("write to", folder))
}

/// Sweeps the folder and the folders in it: no run writes deeper.
fn sweep_around(folder: &Path) {
    sweep(folder);
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        sweep(&entry.path());
    }
}

/// The folder itself is locked, so that no file is needed for the lock.
#[cfg(unix)]
fn open_for_lock(folder: &Path) -> io::Result<File> {
    File::open(folder)
}

/// Not every system can lock a folder, so an empty file named after it, among the system's
/// temporary files, is locked instead.
#[cfg(not(unix))]
fn open_for_lock(folder: &Path) -> io::Result<File> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    fs::canonicalize(folder)?.hash(&mut hasher);
    let name = format!("claimed-{:016x}.lock", hasher.finish());
    File::options().create(true).truncate(false).write(true).open(std::env::temp_dir().join(name))
}
