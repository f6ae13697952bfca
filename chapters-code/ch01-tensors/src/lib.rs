//! Chapter 1: images as tensors, and where images come from.
//!
//! An image is a block of numbers `(channels, height, width)`; a batch of them is a
//! dfdx tensor `(batch, channels, height, width)`. The numbers run from -1 (dark) to 1
//! (bright), so that noise with mean 0 pulls an image towards mid-grey and not towards
//! black.

pub mod cats;
#[cfg(feature = "program")]
mod datasets;
mod random;
mod shuffle;

pub use cats::dataset::Cats;
#[cfg(feature = "program")]
pub use datasets::{
    cifar10::Cifar10,
    color::Color,
    file::{read_image, ImageFile},
    folder::{Folder, FolderOptions},
    idx::Idx,
    open, DataArgs, DataError, DatasetName,
};
pub use random::{Purpose, FIRST_WEIGHTS};
pub use shuffle::Shuffle;

use cats::Attributes;
use dfdx::prelude::*;
use ops::{Images, UNetDevice};
use rayon::prelude::*;

// ANCHOR: range
/// From a byte, 0 to 255, to a number in [-1, 1].
pub fn from_byte(byte: u8) -> f32 {
    byte as f32 / 127.5 - 1.0
}

/// From a number in [-1, 1] to a byte. Values outside are clipped.
pub fn to_byte(value: f32) -> u8 {
    ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8
}
// ANCHOR_END: range

// ANCHOR: dataset
/// Images that can be asked for by number.
pub trait Dataset: Send + Sync {
    /// What the images are, in a word.
    fn name(&self) -> &str;
    /// How many images there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Channels, height and width of every image.
    fn shape(&self) -> [usize; 3];
    /// The values of one image, `channels × height × width` numbers in [-1, 1].
    fn image(&self, index: usize) -> Vec<f32>;
    /// The class of one image.
    fn label(&self, index: usize) -> usize;
    /// The names of the classes, in the order of their numbers.
    fn classes(&self) -> Vec<String>;
    /// What one image shows, in words.
    fn caption(&self, index: usize) -> String;
    /// The attributes of one image, if it is a cat.
    fn attributes(&self, _index: usize) -> Option<Attributes> {
        None
    }
    /// Whether the mirror image of an image could be in the set too: true of
    /// photographs, false of digits.
    fn may_flip(&self) -> bool;
    /// What you should know about how the data set was read, one sentence for each
    /// point.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
// ANCHOR_END: dataset

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What the network learns from.
    Train,
    /// What the network is checked with, and never learns from.
    HeldOut,
}

// ANCHOR: batch
/// The values of the images with these numbers, one image after the other.
pub fn values(dataset: &dyn Dataset, indices: &[usize]) -> Vec<f32> {
    let images: Vec<Vec<f32>> = indices.par_iter().map(|&i| dataset.image(i)).collect();
    images.concat()
}

/// The images with these numbers, as a tensor `(batch, channels, height, width)` in
/// [-1, 1].
pub fn batch<D: UNetDevice>(
    device: &D,
    dataset: &dyn Dataset,
    indices: &[usize],
) -> Images<D> {
    let [channels, height, width] = dataset.shape();
    let shape = (indices.len(), channels, height, width);
    ops::tensor(device, values(dataset, indices), shape)
}
// ANCHOR_END: batch

// ANCHOR: flip
/// Mirrors an image `(channels, height, width)` from left to right.
pub fn flip_horizontally(image: &mut [f32], width: usize) {
    for row in image.chunks_mut(width) {
        row.reverse();
    }
}
// ANCHOR_END: flip

// ANCHOR: statistics
/// Mean and standard deviation of all values of a batch, computed with dfdx.
pub fn statistics<D: UNetDevice>(images: &Images<D>) -> (f32, f32) {
    let mean = images.clone().mean::<Rank0, _>();
    let square = images.clone().square().mean::<Rank0, _>();
    let mean = mean.as_vec()[0];
    (mean, (square.as_vec()[0] - mean * mean).max(0.0).sqrt())
}
// ANCHOR_END: statistics

#[cfg(doctest)]
#[doc = include_str!("../../../book/ch01.md")]
struct Page;
