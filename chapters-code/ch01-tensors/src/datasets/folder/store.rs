//! The images of a folder as bytes: in memory, or in a temporary file that vanishes
//! with the program.

use std::fs::File;
use std::io::{self, Write};

use crate::DataError;

/// Images of `len` bytes each.
#[derive(Debug)]
pub(super) enum Store {
    Memory { len: usize, bytes: Vec<u8> },
    File { len: usize, file: File },
}

impl Store {
    /// Room for `count` images of `len` bytes: in memory if they take at most
    /// `in_memory` bytes.
    ///
    /// # Errors
    /// If no temporary file can be made.
    pub(super) fn new(
        count: usize,
        len: usize,
        in_memory: u64,
    ) -> Result<Self, DataError> {
        if (count as u64).saturating_mul(len as u64) <= in_memory {
            return Ok(Self::Memory { len, bytes: Vec::with_capacity(count * len) });
        }
        Ok(Self::File { len, file: tempfile::tempfile().map_err(scratch)? })
    }

    /// Adds images.
    ///
    /// # Errors
    /// If the temporary file cannot be written.
    pub(super) fn push(&mut self, images: &[u8]) -> Result<(), DataError> {
        match self {
            Self::Memory { bytes, .. } => bytes.extend(images),
            Self::File { file, .. } => file.write_all(images).map_err(scratch)?,
        }
        Ok(())
    }

    /// An image.
    ///
    /// # Panics
    /// If there is no image with that number, or the temporary file cannot be read.
    pub(super) fn get(&self, index: usize) -> Vec<u8> {
        match self {
            Self::Memory { len, bytes } => bytes[index * len..][..*len].to_vec(),
            Self::File { len, file } => {
                let mut image = vec![0; *len];
                if let Err(error) =
                    read_at(file, &mut image, index as u64 * *len as u64)
                {
                    panic!("the temporary file of the images can no longer be read: {error}");
                }
                image
            }
        }
    }
}

fn scratch(source: io::Error) -> DataError {
    DataError::Scratch { folder: std::env::temp_dir(), source }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    use std::sync::{Mutex, PoisonError};

    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(bytes)
}
