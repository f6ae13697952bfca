//! The file format of MNIST: a magic number, the sizes, the bytes
//! (<http://yann.lecun.com/exdb/mnist/>).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{DataError, MAX_BYTES};
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

const DIGITS: [&str; 10] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const CLOTHES: [&str; 10] = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

impl Idx {
    /// Reads `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` (or `t10k-…` for
    /// the held-out part) from a folder, gzipped or not.
    ///
    /// # Errors
    /// If a file is missing, cut short or in another format, or if images and labels
    /// differ in number.
    pub fn open(
        name: &'static str,
        folder: &Path,
        split: Split,
    ) -> Result<Self, DataError> {
        let part = match split {
            Split::Train => "train",
            Split::HeldOut => "t10k",
        };
        let images = IdxFile::<3>::open(folder, &format!("{part}-images-idx3-ubyte"))?;
        let labels = IdxFile::<1>::open(folder, &format!("{part}-labels-idx1-ubyte"))?;
        let ([count, height, width], [label_count]) = (images.sizes, labels.sizes);
        if label_count != count {
            return Err(labels.bad(format!(
                "holds {label_count} labels, but {} holds {count} images: they do not \
                belong together",
                images.path.display()
            )));
        }
        if images.sizes.contains(&0) {
            return Err(images.bad(format!(
                "holds {count} images of {height}x{width} pixels: nothing to learn from"
            )));
        }
        let (label_path, labels) = (labels.path.clone(), labels.data()?);
        if let Some(label) = labels.iter().find(|&&label| label > 9) {
            let problem = format!(
                "has the label {label}, but only files with ten classes, 0 to 9, are read \
                here (EMNIST has files with more)"
            );
            return Err(DataError::bad(&label_path, problem));
        }
        Ok(Self { name, pixels: images.data()?, labels, height, width })
    }

    /// The words for the classes.
    fn words(&self) -> &'static [&'static str; 10] {
        match self.name {
            "mnist" => &DIGITS,
            _ => &CLOTHES,
        }
    }
}

/// An IDX file of unsigned bytes with `N` dimensions, whose header has been read.
struct IdxFile<const N: usize> {
    path: PathBuf,
    sizes: [usize; N],
    /// What follows the header, unzipped.
    input: Box<dyn Read>,
    gzipped: bool,
}

impl<const N: usize> IdxFile<N> {
    /// Opens `name` or `name.gz`, or `name` with a dot before `idx`, as some archives
    /// spell it.
    fn open(folder: &Path, name: &str) -> Result<Self, DataError> {
        let dotted = name.replace("-idx", ".idx");
        let names = [
            name.to_string(),
            format!("{name}.gz"),
            dotted.clone(),
            format!("{dotted}.gz"),
        ];
        let path =
            names.map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
        let path = path.ok_or_else(|| DataError::NotFound {
            name: name.to_string(),
            folder: folder.to_path_buf(),
        })?;
        let failed = |source| DataError::Read { path: path.clone(), source };
        let mut file = BufReader::new(File::open(&path).map_err(failed)?);
        let gzipped = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn Read> =
            if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut opened = Self { path, sizes: [0; N], input, gzipped };
        opened.sizes = opened.header()?;
        Ok(opened)
    }

    fn header(&mut self) -> Result<[usize; N], DataError> {
        let length = 4 + 4 * N;
        let header = self.read(length)?;
        if header.len() < length {
            let found = header.len();
            return Err(self.bad(format!(
                "has {found} bytes, fewer than the {length} of an IDX header: fetch \
                the file again"
            )));
        }
        let number = |i: usize| {
            u32::from_be_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]])
        };
        let magic = 0x0800 + N as u32;
        if number(0) != magic {
            return Err(self.bad(format!(
                "starts with the magic number {:#010x}, but IDX bytes with {N} dimensions \
                start with {magic:#010x}: this is another kind of file",
                number(0)
            )));
        }
        Ok(std::array::from_fn(|i| number(4 + 4 * i) as usize))
    }

    /// All that the header promises; a single byte more is an error.
    fn data(mut self) -> Result<Vec<u8>, DataError> {
        let sizes = self.sizes;
        let promised =
            sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let Some(promised) = promised.filter(|&bytes| bytes <= MAX_BYTES) else {
            return Err(self.bad(format!(
                "its header promises sizes {sizes:?}: only files of at most {} MiB are read",
                MAX_BYTES >> 20
            )));
        };
        let data = self.read(promised + 1)?;
        if data.len() == promised {
            return Ok(data);
        }
        let found = if data.len() > promised {
            "more".to_string()
        } else {
            data.len().to_string()
        };
        Err(self.bad(format!(
            "its header promises sizes {sizes:?}, {promised} bytes, but {found} bytes \
            follow: the file is cut short or damaged"
        )))
    }

    /// At most `most` bytes.
    fn read(&mut self, most: usize) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        match self.input.by_ref().take(most as u64).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) if self.gzipped => Err(self.bad(format!(
                "the gzip data is damaged or cut short ({error}): fetch the file again"
            ))),
            Err(source) => Err(DataError::Read { path: self.path.clone(), source }),
        }
    }

    fn bad(&self, problem: String) -> DataError {
        DataError::bad(&self.path, problem)
    }
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
    fn classes(&self) -> Vec<String> {
        self.words().map(String::from).to_vec()
    }
    fn caption(&self, index: usize) -> String {
        let word = self.words()[self.label(index)];
        match self.name {
            "mnist" => format!("the digit {word}"),
            _ => word.to_string(),
        }
    }
    fn may_flip(&self) -> bool {
        self.name != "mnist" // a mirrored 2 is not a digit, but a mirrored shoe is a shoe
    }
}
