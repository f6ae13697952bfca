//! Every parser of the book: what it reads, and the files that its inputs are made from.
//!
//! The seeds are files that the book's own code writes, or that are put together here byte by byte.

mod captions;
mod configs;
mod evaluation;
mod figures;
mod idx;
mod network;
#[rustfmt::skip] // its chapter decides how wide it is
#[path = "../../../../chapters-code/ch01-tensors/tests/pictures/mod.rs"]
mod picture_files;
mod pictures;
mod repair;
mod resume;
mod weights;
mod words;

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Reads an input. The answer says whether it was accepted.
pub type Run = Box<dyn FnMut(&[u8]) -> bool>;

/// A parser.
pub struct Target {
    pub name: &'static str,
    /// Words of its format, to be put into inputs.
    pub words: &'static [&'static [u8]],
    /// Corrects checksums and lengths.
    pub repair: fn(&mut Vec<u8>),
    /// Inputs that are accepted.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Gets ready to read inputs; files go into the given folder.
    pub open: fn(&Path) -> Run,
}

/// All parsers.
pub fn all() -> impl Iterator<Item = &'static Target> {
    let binary = idx::TARGETS.iter().chain(pictures::TARGETS).chain(weights::TARGETS);
    let text = captions::TARGETS
        .iter()
        .chain(configs::TARGETS)
        .chain(resume::TARGETS)
        .chain(evaluation::TARGETS);
    binary.chain(text).chain(words::TARGETS).chain(figures::TARGETS)
}

/// Whether a parser accepted an input. If not, its error message is formatted, too.
///
/// # Panics
/// If the message is empty.
fn accepted<T, E: Display>(result: Result<T, E>) -> bool {
    result
        .map_err(|error| assert!(!format!("{error:#}").is_empty(), "an error without a message"))
        .is_ok()
}

/// A parser for a single file; the file is written to `path` each time.
fn of_file<T, E: Display>(path: PathBuf, read: impl Fn() -> Result<T, E> + 'static) -> Run {
    put(&path, &[]);
    Box::new(move |input| {
        std::fs::write(&path, input).expect("the folder for inputs can be written");
        accepted(read())
    })
}

/// Writes a file below the folder for inputs.
fn put(path: &Path, bytes: &[u8]) {
    let folder = path.parent().expect("a file is in a folder");
    std::fs::create_dir_all(folder).expect("the folder for inputs can be written");
    std::fs::write(path, bytes).expect("the folder for inputs can be written");
}

/// A value as a JSON file.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("it can be written")
}
