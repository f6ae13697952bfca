//! Writing whole files, wherever a path leads.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::folder::Made;
use crate::temporary::temporary;
use crate::FileError;

/// What is at the end of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A regular file, or an unused name, once links have been followed.
    File(PathBuf),
    /// A pipe or a device: written to, never replaced.
    Stream(PathBuf),
    /// This process's standard output, by whatever name.
    Stdout,
}

/// Writes `bytes` to `path`. Missing folders are made. Links are followed. A regular file is
/// replaced in one step and keeps its permissions; pipes, devices and standard output are written
/// to.
///
/// # Errors
/// If something cannot be made or written; a regular file at `path` is then left unchanged.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), FileError> {
    let path = path.as_ref();
    let write = || match place(path)? {
        Place::File(file) => replace(&file, bytes),
        Place::Stream(stream) => OpenOptions::new().append(true).open(stream)?.write_all(bytes),
        Place::Stdout => write_stdout(bytes),
    };
    write().map_err(FileError::new("write", path))
}

/// Finds out whether [`write()`] could write to `path`, and leaves no trace. Call it before
/// hours of work.
///
/// # Errors
/// If it could not, as far as can be told.
pub fn check(path: impl AsRef<Path>) -> Result<Place, FileError> {
    let path = path.as_ref();
    let check = || {
        let place = place(path)?;
        match &place {
            Place::File(file) => {
                old_permissions(file)?;
                temporary(nearest(folder_of(file)))?;
            }
            Place::Stream(stream) => check_access(stream)?,
            Place::Stdout => {}
        }
        Ok(place)
    };
    check().map_err(FileError::new("write", path))
}

/// As many links as Linux follows.
const LINKS: usize = 40;

fn place(path: &Path) -> io::Result<Place> {
    let invalid = |problem| Err(io::Error::new(ErrorKind::InvalidInput, problem));
    let name = path.as_os_str().to_string_lossy();
    if name.is_empty() || name.ends_with(std::path::is_separator) || path.file_name().is_none() {
        return invalid("it does not name a file");
    }
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        found => Some(found?),
    };
    if metadata.as_ref().is_some_and(Metadata::is_dir) {
        return invalid("it is a folder");
    }
    if metadata.as_ref().is_some_and(is_stdout) {
        return Ok(Place::Stdout);
    }
    let end = follow(path)?;
    let is_file = metadata.is_none_or(|metadata| metadata.is_file()) && !is_descriptor(&end);
    Ok(if is_file { Place::File(end) } else { Place::Stream(end) })
}

/// Where links lead, even if nothing is there.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(next) if !is_descriptor(&path) => path = folder_of(&path).join(next),
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

/// Whether a path names a file that is already open. Such a file must be written to, not replaced,
/// whatever its name is.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/dev/fd")
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The folder itself, or the one in which it would have to be made.
fn nearest(folder: &Path) -> &Path {
    let found = folder.ancestors().find(|folder| folder.exists());
    found.unwrap_or(Path::new("."))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let _made = Made::new(folder)?;
    let temporary = temporary(folder)?;
    if let Some(permissions) = old_permissions(path)? {
        temporary.as_file().set_permissions(permissions)?;
    }
    temporary.as_file().write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    // The new name itself must reach the disk too. Not every system lets a folder be opened for
    // that.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
    Ok(())
}

/// The permissions of the file that is to be replaced, if there is one. That file must be writable.
fn old_permissions(path: &Path) -> io::Result<Option<Permissions>> {
    match fs::metadata(path) {
        Ok(metadata) => check_access(path).map(|()| Some(metadata.permissions())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Checks without opening: the reader of a pipe would take the closing for the end of its input.
#[cfg(unix)]
fn check_access(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?)
}

#[cfg(not(unix))]
fn check_access(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.permissions().readonly() {
        true => Err(ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
}

/// This process's standard output, without a buffer.
#[cfg(unix)]
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(unix)]
fn is_stdout(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let key = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    stdout().and_then(|file| file.metadata()).is_ok_and(|stdout| key(&stdout) == key(metadata))
}

#[cfg(unix)]
fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    io::stdout().flush()?;
    stdout()?.write_all(bytes)
}

#[cfg(not(unix))]
fn is_stdout(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    io::stdout().write_all(bytes)?;
    io::stdout().flush()
}
