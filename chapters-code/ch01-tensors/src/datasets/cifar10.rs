//! CIFAR-10 in its binary version.

use std::path::Path;

use super::{DataError, MAX_BYTES};
use crate::{from_byte, Dataset, Split};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;
const RECORD: usize = 1 + PIXELS;
const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// The binary version of CIFAR-10 (Krizhevsky 2009): records of a label byte and 3 × 32
/// × 32 pixel bytes.
#[derive(Clone, Debug)]
pub struct Cifar10 {
    records: Vec<u8>,
}

impl Cifar10 {
    /// Reads `data_batch_1.bin` to `data_batch_5.bin`, or `test_batch.bin` for the
    /// held-out part, from a folder or its subfolder `cifar-10-batches-bin`.
    ///
    /// # Errors
    /// If a file is missing or not made of whole records.
    pub fn open(folder: &Path, split: Split) -> Result<Self, DataError> {
        let inner = folder.join("cifar-10-batches-bin");
        let folder = if inner.is_dir() { inner.as_path() } else { folder };
        let names = match split {
            Split::Train => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
            Split::HeldOut => vec!["test_batch.bin".to_string()],
        };
        let mut records = Vec::new();
        for name in names {
            let path = folder.join(&name);
            if !path.is_file() {
                return Err(DataError::NotFound { name, folder: folder.to_path_buf() });
            }
            let read = |source| DataError::Read { path: path.clone(), source };
            let length = std::fs::metadata(&path).map_err(read)?.len();
            if length > MAX_BYTES as u64 {
                let problem = format!(
                    "has {length} bytes: only files of at most {} MiB are read",
                    MAX_BYTES >> 20
                );
                return Err(DataError::bad(&path, problem));
            }
            let bytes = std::fs::read(&path).map_err(read)?;
            if bytes.is_empty() || bytes.len() % RECORD != 0 {
                let problem = format!(
                    "has {} bytes, not a multiple of {RECORD}: the file is cut short \
                    or is not a CIFAR-10 batch",
                    bytes.len()
                );
                return Err(DataError::bad(&path, problem));
            }
            if let Some(i) = bytes.chunks(RECORD).position(|r| r[0] > 9) {
                return Err(DataError::bad(
                    &path,
                    format!(
                        "record {i} has label {}, not in 0..=9: this is not a CIFAR-10 \
                        batch",
                        bytes[i * RECORD]
                    ),
                ));
            }
            records.extend(bytes);
        }
        Ok(Self { records })
    }
}

impl Dataset for Cifar10 {
    fn name(&self) -> &str {
        "cifar10"
    }
    fn len(&self) -> usize {
        self.records.len() / RECORD
    }
    fn shape(&self) -> [usize; 3] {
        [3, SIDE, SIDE]
    }
    fn image(&self, index: usize) -> Vec<f32> {
        self.records[index * RECORD + 1..][..PIXELS]
            .iter()
            .map(|&b| from_byte(b))
            .collect()
    }
    fn label(&self, index: usize) -> usize {
        self.records[index * RECORD] as usize
    }
    fn classes(&self) -> Vec<String> {
        CLASSES.map(String::from).to_vec()
    }
    fn caption(&self, index: usize) -> String {
        CLASSES[self.label(index)].to_string()
    }
    fn may_flip(&self) -> bool {
        true
    }
}
