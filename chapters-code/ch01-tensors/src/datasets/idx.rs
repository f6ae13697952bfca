//! The file format of MNIST: a magic number, the sizes, the bytes (<http://yann.lecun.com/exdb/mnist/>).

use std::io::Read;
use std::path::{Path, PathBuf};

use super::DataError;
use crate::{from_byte, Dataset, Split};

/// Grey images with labels from a pair of IDX files.
#[derive(Clone, Debug)]
pub struct Idx {
    name: &'static str,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    height: usize,
    width: usize,
}

const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const CLOTHES: [&str; 10] =
    ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

impl Idx {
    /// Reads `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` (or `t10k-…` for the held-out part) from a folder,
    /// gzipped or not.
    ///
    /// # Errors
    /// If a file is missing, cut short, of another format, or if images and labels differ in number.
    pub fn open(name: &'static str, folder: &Path, split: Split) -> Result<Self, DataError> {
        let part = match split {
            Split::Train => "train",
            Split::HeldOut => "t10k",
        };
        let (image_path, images) = find(folder, &format!("{part}-images-idx3-ubyte"))?;
        let (sizes, pixels) = parse::<3>(&image_path, &images)?;
        let (label_path, labels) = find(folder, &format!("{part}-labels-idx1-ubyte"))?;
        let ([count], labels) = parse::<1>(&label_path, &labels)?;
        if count != sizes[0] {
            let problem = format!(
                "holds {count} labels, but {} holds {} images: they do not belong together",
                image_path.display(),
                sizes[0]
            );
            return Err(DataError::bad(&label_path, problem));
        }
        if let Some(label) = labels.iter().find(|&&l| l > 9) {
            return Err(DataError::bad(&label_path, format!("label {label} is not in 0..=9: the file is damaged")));
        }
        if sizes.contains(&0) {
            return Err(DataError::bad(
                &image_path,
                format!("holds {} images of {}x{} pixels: nothing to learn from", sizes[0], sizes[1], sizes[2]),
            ));
        }
        Ok(Self { name, pixels: pixels.to_vec(), labels: labels.to_vec(), height: sizes[1], width: sizes[2] })
    }
}

/// Reads `name` or `name.gz`, or `name` with a dot before `idx`, as some archives spell it.
fn find(folder: &Path, name: &str) -> Result<(PathBuf, Vec<u8>), DataError> {
    let dotted = name.replace("-idx", ".idx");
    for file in [name.to_string(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")] {
        let path = folder.join(file);
        if path.is_file() {
            let read = |source| DataError::Read { path: path.clone(), source };
            let bytes = std::fs::read(&path).map_err(read)?;
            if bytes.starts_with(&[0x1f, 0x8b]) {
                let mut plain = Vec::new();
                let unzipped = flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain);
                unzipped.map_err(|e| {
                    DataError::bad(&path, format!("the gzip data is damaged or cut short ({e}): fetch the file again"))
                })?;
                return Ok((path, plain));
            }
            return Ok((path, bytes));
        }
    }
    Err(DataError::NotFound { name: name.to_string(), folder: folder.to_path_buf() })
}

/// Splits an IDX file of unsigned bytes with `N` dimensions into sizes and data.
fn parse<'a, const N: usize>(path: &Path, bytes: &'a [u8]) -> Result<([usize; N], &'a [u8]), DataError> {
    let header = 4 + 4 * N;
    if bytes.len() < header {
        let problem =
            format!("has {} bytes, fewer than the {header} of an IDX header: fetch the file again", bytes.len());
        return Err(DataError::bad(path, problem));
    }
    let number = |i: usize| u32::from_be_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    let magic = 0x0800 + N as u32;
    if number(0) != magic {
        let problem = format!("starts with magic number {:#010x}, but IDX bytes with {N} dimensions start with {magic:#010x}: this is another kind of file", number(0));
        return Err(DataError::bad(path, problem));
    }
    let sizes: [usize; N] = std::array::from_fn(|i| number(4 + 4 * i) as usize);
    let expected = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let data = &bytes[header..];
    if expected != Some(data.len()) {
        let problem = format!(
            "its header promises sizes {sizes:?}, but {} bytes follow: the file is cut short or damaged",
            data.len()
        );
        return Err(DataError::bad(path, problem));
    }
    Ok((sizes, data))
}

impl Dataset for Idx {
    fn name(&self) -> &str {
        self.name
    }
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn shape(&self) -> [usize; 3] {
        [1, self.height, self.width]
    }
    fn image(&self, index: usize) -> Vec<f32> {
        let len = self.height * self.width;
        self.pixels[index * len..][..len].iter().map(|&b| from_byte(b)).collect()
    }
    fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }
    fn caption(&self, index: usize) -> String {
        match self.name {
            "mnist" => format!("the digit {}", DIGITS[self.label(index)]),
            _ => CLOTHES[self.label(index)].to_string(),
        }
    }
    fn may_flip(&self) -> bool {
        self.name != "mnist" // a mirrored 2 is no digit, a mirrored shoe is a shoe
    }
}
