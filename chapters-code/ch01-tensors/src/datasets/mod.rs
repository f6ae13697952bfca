//! Data sets that are read from files, and the flags that choose a data set. Nothing is
//! downloaded.

pub(crate) mod cifar10;
pub(crate) mod color;
pub(crate) mod file;
mod fit;
pub(crate) mod folder;
mod headers;
pub(crate) mod idx;
mod kind;

use std::path::{Path, PathBuf};

use self::color::Color;
use self::folder::FolderOptions;
use crate::{Dataset, Split};

/// IDX and CIFAR-10 files that hold more bytes than this are rejected.
const MAX_BYTES: usize = 1 << 30;

/// A data set that the programs know by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DatasetName {
    /// Pixel-art cats, drawn by our own code
    Cats,
    /// Handwritten digits in IDX files
    Mnist,
    /// Pictures of clothes in IDX files
    FashionMnist,
    /// Small photographs in the binary files of CIFAR-10
    Cifar10,
    /// Any folder of images
    Folder,
}

impl DatasetName {
    /// The name as the flag `--dataset` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cats => "cats",
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Cifar10 => "cifar10",
            Self::Folder => "folder",
        }
    }
}

/// The flags that choose a program's images.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub struct DataArgs {
    /// Which images
    #[arg(long, value_enum, default_value = "cats")]
    pub dataset: DatasetName,
    /// Where the files of the data set are (cats have none)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Side of the square to which a folder's images are scaled (default: 32)
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(4..=1024))]
    pub image_size: Option<u32>,
    /// Channels that a folder's images get: 3, or 1 for grey (default: 3)
    #[arg(long, value_name = "COUNT", value_parser = channels)]
    pub image_channels: Option<u32>,
    /// Colour, such as "#204060", under the transparent pixels of a folder's images (default:
    /// white)
    #[arg(long, value_name = "COLOUR")]
    pub background: Option<Color>,
}

fn channels(text: &str) -> Result<u32, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 (grey) or 3 (red, green and blue) is needed".into()),
    }
}

impl DataArgs {
    /// The flags that apply if this data set is chosen and nothing else is given.
    pub fn new(dataset: DatasetName) -> Self {
        Self {
            dataset,
            data_dir: None,
            image_size: None,
            image_channels: None,
            background: None,
        }
    }

    /// Opens the data set.
    ///
    /// # Errors
    /// If its files are missing or damaged, or if a flag has no meaning for it.
    pub fn open(&self, split: Split) -> Result<Box<dyn Dataset>, DataError> {
        open(self, split)
    }

    /// Rejects a flag that has no meaning for the data set.
    fn check(&self) -> Result<(), DataError> {
        let folder = self.dataset == DatasetName::Folder;
        let flags = [
            (
                "--data-dir",
                self.data_dir.is_some() && self.dataset == DatasetName::Cats,
            ),
            ("--image-size", self.image_size.is_some() && !folder),
            ("--image-channels", self.image_channels.is_some() && !folder),
            ("--background", self.background.is_some() && !folder),
        ];
        match flags.into_iter().find(|(_, unused)| *unused) {
            Some((flag, _)) => {
                Err(DataError::Unused { flag, dataset: self.dataset.word() })
            }
            None => Ok(()),
        }
    }

    fn folder_options(&self) -> FolderOptions {
        let default = FolderOptions::default();
        FolderOptions {
            size: self.image_size.map_or(default.size, |size| size as usize),
            channels: self
                .image_channels
                .map_or(default.channels, |channels| channels as usize),
            background: self.background.unwrap_or(default.background),
        }
    }
}

/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(
        "dataset '{0}' is read from files: say where they are with --data-dir DIR"
    )]
    NoDirectory(&'static str),
    #[error(
        "{flag} does nothing for dataset '{dataset}': leave it out, or choose another \
        --dataset"
    )]
    Unused { flag: &'static str, dataset: &'static str },
    #[error(
        "cannot keep the images in a temporary file in {} (make room, or point TMPDIR \
        elsewhere)",
        folder.display()
    )]
    Scratch { folder: PathBuf, source: std::io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{} not found in {}: put the file there (gzipped or not), or point --data-dir \
        at its folder",
        name, folder.display()
    )]
    NotFound { name: String, folder: PathBuf },
    #[error("{}: {problem}", path.display())]
    Bad { path: PathBuf, problem: String },
}

impl DataError {
    pub(crate) fn bad(path: &Path, problem: impl Into<String>) -> Self {
        Self::Bad { path: path.to_path_buf(), problem: problem.into() }
    }
}

/// Opens the data set that the flags choose.
///
/// # Errors
/// If a file is missing, truncated or in another format, or if a flag has no meaning for the
/// data set.
pub fn open(args: &DataArgs, split: Split) -> Result<Box<dyn Dataset>, DataError> {
    args.check()?;
    let name = args.dataset.word();
    let directory = || args.data_dir.as_deref().ok_or(DataError::NoDirectory(name));
    Ok(match args.dataset {
        DatasetName::Cats => Box::new(crate::Cats::new(split)),
        DatasetName::Mnist | DatasetName::FashionMnist => {
            Box::new(crate::Idx::open(name, directory()?, split)?)
        }
        DatasetName::Cifar10 => Box::new(crate::Cifar10::open(directory()?, split)?),
        DatasetName::Folder => {
            Box::new(crate::Folder::open(directory()?, split, args.folder_options())?)
        }
    })
}
