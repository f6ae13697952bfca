//! Any folder of pictures.

mod captions;
mod find;
mod store;

use std::path::Path;

use rayon::prelude::*;

use self::find::{find, Found, Picture};
use self::store::Store;
use super::color::Color;
use super::file::read_bytes;
use super::kind::KINDS;
use super::DataError;
use crate::{from_byte, Dataset, Split};

/// Every tenth image is held out.
const HELD_OUT: usize = 10;

/// Up to this many bytes of images are held in memory; a larger set goes into a temporary file.
const IN_MEMORY: u64 = 256 << 20;

/// Images are read in groups of about this many bytes.
const AT_ONCE: usize = 32 << 20;

/// How the images of a folder are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderOptions {
    /// Height and width to which the images are scaled, in pixels.
    pub size: usize,
    /// 3, or 1 for grey.
    pub channels: usize,
    /// What transparent pixels show.
    pub background: Color,
}

impl Default for FolderOptions {
    /// 32×32 pixels, in colour, on white.
    fn default() -> Self {
        Self { size: 32, channels: 3, background: Color::WHITE }
    }
}

/// Any folder of images, each cut to the square in its middle and scaled to one size.
///
/// A subfolder's name is the class of its images; a file `captions.csv` with the columns `file` and
/// `caption` gives their captions. The images are held as bytes; if there are
/// many, in a temporary file without a name.
#[derive(Debug)]
pub struct Folder {
    options: FolderOptions,
    classes: Vec<String>,
    /// Label and caption of each image.
    words: Vec<(usize, String)>,
    images: Store,
    notes: Vec<String>,
}

impl Folder {
    /// Reads all images in `folder` and in its subfolders. Files are recognised by their
    /// content; [`Dataset::notes`] says what was passed over.
    ///
    /// # Errors
    /// If an image or `captions.csv` cannot be read, if there are no images, or if the temporary
    /// file cannot be written.
    ///
    /// # Panics
    /// If `options.channels` is neither 1 nor 3. [`Dataset::image`] panics if the
    /// temporary file can no longer be read.
    pub fn open(
        folder: &Path,
        split: Split,
        options: FolderOptions,
    ) -> Result<Self, DataError> {
        Self::with_memory(folder, split, options, IN_MEMORY)
    }

    /// Holds at most `in_memory` bytes of images in memory.
    fn with_memory(
        folder: &Path,
        split: Split,
        options: FolderOptions,
        in_memory: u64,
    ) -> Result<Self, DataError> {
        let Found { pictures, note } = find(folder)?;
        let mut notes: Vec<String> = note.into_iter().collect();
        let captions = captions::read(folder, &pictures, &mut notes)?;
        let mut classes: Vec<String> =
            pictures.iter().map(|picture| picture.class.clone()).collect();
        classes.sort();
        classes.dedup();
        let number = |class: &String| {
            classes.binary_search(class).expect("every class is listed")
        };
        let in_split =
            |i: &usize| (i % HELD_OUT == HELD_OUT - 1) == (split == Split::HeldOut);
        let chosen: Vec<usize> = (0..pictures.len()).filter(in_split).collect();
        if chosen.is_empty() {
            return Err(none(folder, split, &notes));
        }
        let words = chosen
            .iter()
            .map(|&i| (number(&pictures[i].class), captions[i].clone()))
            .collect();
        let chosen: Vec<&Picture> = chosen.iter().map(|&i| &pictures[i]).collect();
        let images = read(&chosen, options, in_memory)?;
        Ok(Self { options, classes, words, images, notes })
    }
}

fn none(folder: &Path, split: Split, notes: &[String]) -> DataError {
    let need = match split {
        Split::HeldOut => "fewer than ten images (every tenth is held out)".to_string(),
        Split::Train => format!("no image ({KINDS})"),
    };
    let hint = "add images or choose another --data-dir";
    let notes: String = notes.iter().map(|note| format!("; {note}")).collect();
    DataError::bad(
        folder,
        format!("holds {need}, directly or in a subfolder: {hint}{notes}"),
    )
}

/// Reads the images, several at a time.
fn read(
    pictures: &[&Picture],
    options: FolderOptions,
    in_memory: u64,
) -> Result<Store, DataError> {
    let shape = [options.channels, options.size, options.size];
    let len: usize = shape.iter().product();
    let mut store = Store::new(pictures.len(), len, in_memory)?;
    for some in pictures.chunks((AT_ONCE / len).max(1)) {
        let read = |picture: &&Picture| {
            Ok(read_bytes(&picture.path, shape, options.background)?.1)
        };
        let images: Vec<Vec<u8>> =
            some.par_iter().map(read).collect::<Result<_, DataError>>()?;
        store.push(&images.concat())?;
    }
    Ok(store)
}

impl Dataset for Folder {
    fn name(&self) -> &str {
        "folder"
    }
    fn len(&self) -> usize {
        self.words.len()
    }
    fn shape(&self) -> [usize; 3] {
        [self.options.channels, self.options.size, self.options.size]
    }
    fn image(&self, index: usize) -> Vec<f32> {
        self.images.get(index).into_iter().map(from_byte).collect()
    }
    fn label(&self, index: usize) -> usize {
        self.words[index].0
    }
    fn classes(&self) -> Vec<String> {
        self.classes.clone()
    }
    fn caption(&self, index: usize) -> String {
        self.words[index].1.clone()
    }
    fn may_flip(&self) -> bool {
        true
    }
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_into_memory_is_read_back_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..25u8 {
            let image = image::RgbImage::from_fn(8, 8, |x, y| {
                image::Rgb([i, x as u8 * 20, y as u8 * 20])
            });
            image.save(folder.path().join(format!("{i:02}.png"))).unwrap();
        }
        let options = FolderOptions { size: 8, ..Default::default() };
        for split in [Split::Train, Split::HeldOut] {
            let open = |in_memory| {
                Folder::with_memory(folder.path(), split, options, in_memory).unwrap()
            };
            let (in_memory, in_file) = (open(1 << 20), open(100));
            assert!(
                matches!(in_memory.images, Store::Memory { .. })
                    && matches!(in_file.images, Store::File { .. })
            );
            assert_eq!(in_memory.len(), if split == Split::Train { 23 } else { 2 });
            for i in 0..in_memory.len() {
                assert_eq!(in_memory.image(i), in_file.image(i), "image {i}");
            }
        }
    }
}
