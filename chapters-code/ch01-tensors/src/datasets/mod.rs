//! The datasets, and finding one by name. Nothing is downloaded.

pub(crate) mod cats;
pub(crate) mod cifar10;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod idx;

use std::path::{Path, PathBuf};

use crate::Dataset;

/// A dataset that the programs know by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DatasetName {
    /// Pixel-art cats, drawn by our own code
    Cats,
    /// Handwritten digits in IDX files
    Mnist,
    /// Pictures of clothes in IDX files
    FashionMnist,
    /// Small photographs in the binary version of CIFAR-10
    Cifar10,
    /// Any folder of images
    Folder,
}

/// The flags with which a program chooses its images.
#[derive(clap::Args, Clone, Debug)]
pub struct DataArgs {
    /// Which images
    #[arg(long, value_enum, default_value = "cats")]
    pub dataset: DatasetName,
    /// Where the files of the dataset are (cats need none)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Side of the square to which a folder's images are brought
    #[arg(long, value_name = "PIXELS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(4..=1024))]
    pub image_size: u32,
}

impl DataArgs {
    /// Opens the dataset.
    ///
    /// # Errors
    /// If its files are missing or damaged.
    pub fn open(&self, split: Split) -> Result<Box<dyn Dataset>, DataError> {
        open(self.dataset, self.data_dir.as_deref(), split, self.image_size as usize)
    }
}

/// Which part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What the network learns from.
    Train,
    /// What it never sees, to check it with.
    HeldOut,
}

/// A dataset that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("dataset '{0}' is read from files: say where they are with --data-dir DIR")]
    NoDirectory(&'static str),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} not found in {}: put the file there (gzipped or not), or point --data-dir at its folder", name, folder.display())]
    NotFound { name: String, folder: PathBuf },
    #[error("{}: {problem}", path.display())]
    Bad { path: PathBuf, problem: String },
}

impl DataError {
    pub(crate) fn bad(path: &Path, problem: impl Into<String>) -> Self {
        Self::Bad { path: path.to_path_buf(), problem: problem.into() }
    }
}

/// Opens a dataset; `directory` is where its files are (cats have none), `size` the side to which a folder's images are
/// brought.
///
/// # Errors
/// If a file is missing, truncated or of another format.
pub fn open(
    name: DatasetName,
    directory: Option<&Path>,
    split: Split,
    size: usize,
) -> Result<Box<dyn Dataset>, DataError> {
    let needed = |label| directory.ok_or(DataError::NoDirectory(label));
    Ok(match name {
        DatasetName::Cats => Box::new(crate::Cats::new(split)),
        DatasetName::Mnist => Box::new(crate::Idx::open("mnist", needed("mnist")?, split)?),
        DatasetName::FashionMnist => Box::new(crate::Idx::open("fashion-mnist", needed("fashion-mnist")?, split)?),
        DatasetName::Cifar10 => Box::new(crate::Cifar10::open(needed("cifar10")?, split)?),
        DatasetName::Folder => Box::new(crate::Folder::open(needed("folder")?, split, size)?),
    })
}
