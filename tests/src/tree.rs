//! The files of the repository.

use std::path::{Path, PathBuf};

/// The files with these extensions below a folder, except build output.
///
/// # Panics
/// If a folder cannot be read.
pub fn files(folder: &Path, kinds: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, kinds));
        } else if kind.is_some_and(|kind| kinds.contains(&kind)) {
            found.push(path);
        }
    }
    found
}
