//! Your answers. `cargo test -p ch01-tensors --test exercises` says whether they are
//! right.
#![allow(unused_variables, unused_imports)]

use ch01_tensors::{from_byte, Dataset};

/// From the bytes of a file (the red, green and blue of one pixel after another) to values in
/// -1..1, channel by channel.
pub fn from_pixels(bytes: &[u8], height: usize, width: usize) -> Vec<f32> {
    todo!()
}

/// From `3 × height × width` values to `height × width`: the mean of the three
/// channels.
pub fn grey(image: &[f32]) -> Vec<f32> {
    todo!()
}

/// The mean of the first `count` images of a data set, value by value.
pub fn average(dataset: &dyn Dataset, count: usize) -> Vec<f32> {
    todo!()
}

/// Which of the first `count` images of a data set is nearest to `image`: its index,
/// and the mean squared difference between the two.
pub fn nearest(image: &[f32], dataset: &dyn Dataset, count: usize) -> (usize, f32) {
    todo!()
}
