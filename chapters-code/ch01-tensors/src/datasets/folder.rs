use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::read_image;
use super::DataError;
use crate::{Dataset, Split};

/// Every tenth image is held out.
const HELD_OUT: usize = 10;

/// Any folder of images, cut to a square from the middle and brought to one size.
///
/// A subfolder's name is the label of its images; a file `captions.csv` with columns `file,caption` gives captions.
#[derive(Clone, Debug)]
pub struct Folder {
    size: usize,
    labels: Vec<String>,
    /// Values, label and caption of each.
    images: Vec<(Vec<f32>, usize, String)>,
}

impl Folder {
    /// Reads all images below `folder` (two levels), to `size × size` pixels.
    ///
    /// # Errors
    /// If an image or `captions.csv` cannot be read, or there is no image.
    pub fn open(folder: &Path, split: Split, size: usize) -> Result<Self, DataError> {
        let captions = captions(&folder.join("captions.csv"))?;
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        for path in list(folder)? {
            if path.is_dir() {
                let label = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.extend(list(&path)?.into_iter().filter(|p| is_image(p)).map(|p| (p, label.clone())));
            } else if is_image(&path) {
                files.push((path, String::new()));
            }
        }
        let mut labels: Vec<String> = files.iter().map(|(_, label)| label.clone()).collect();
        labels.sort();
        labels.dedup();
        let mut images = Vec::new();
        for (i, (path, label)) in files.iter().enumerate() {
            if (i % HELD_OUT == HELD_OUT - 1) != (split == Split::HeldOut) {
                continue;
            }
            let image = read_image(path, [3, size, size])?;
            let key = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/");
            let caption = captions.get(&key).cloned().unwrap_or_else(|| label.clone());
            let label = labels.binary_search(label).expect("every label is listed");
            images.push((image.values, label, caption));
        }
        if images.is_empty() {
            let need = if split == Split::HeldOut {
                "fewer than ten images (every tenth is held out)"
            } else {
                "no image (PNG, JPEG, GIF, BMP or WebP)"
            };
            return Err(DataError::bad(
                folder,
                format!("holds {need}, directly or in a subfolder: add images or choose another --data-dir"),
            ));
        }
        Ok(Self { size, labels, images })
    }

    /// The names of the labels: the subfolders, in order.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }
}

/// What a folder holds, in the order of names.
fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut paths = std::fs::read_dir(folder)
        .map_err(read)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(read)?;
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ["png", "jpg", "jpeg", "gif", "bmp", "webp"].contains(&extension.as_str())
}

fn captions(path: &Path) -> Result<BTreeMap<String, String>, DataError> {
    let mut captions = BTreeMap::new();
    if path.is_file() {
        let bad = |e: csv::Error| DataError::bad(path, format!("is not a table with columns file,caption ({e})"));
        for row in csv::Reader::from_path(path).map_err(bad)?.deserialize() {
            let (file, caption): (String, String) = row.map_err(bad)?;
            captions.insert(file, caption);
        }
    }
    Ok(captions)
}

impl Dataset for Folder {
    fn name(&self) -> &str {
        "folder"
    }
    fn len(&self) -> usize {
        self.images.len()
    }
    fn shape(&self) -> [usize; 3] {
        [3, self.size, self.size]
    }
    fn image(&self, index: usize) -> Vec<f32> {
        self.images[index].0.clone()
    }
    fn label(&self, index: usize) -> usize {
        self.images[index].1
    }
    fn caption(&self, index: usize) -> String {
        self.images[index].2.clone()
    }
    fn may_flip(&self) -> bool {
        true
    }
}
