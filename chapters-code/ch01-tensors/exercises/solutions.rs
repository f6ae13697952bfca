//! One way to answer.

use ch01_tensors::{from_byte, Dataset};

// ANCHOR: solutions
/// From the bytes of a file (the red, green and blue of one pixel after another) to
/// values in -1..1, channel by channel.
pub fn from_pixels(bytes: &[u8], height: usize, width: usize) -> Vec<f32> {
    let plane = height * width;
    // Value number i belongs to channel i / plane, and within it to pixel i % plane.
    (0..3 * plane).map(|i| from_byte(bytes[i % plane * 3 + i / plane])).collect()
}

/// From `3 × height × width` values to `height × width`: the mean of the three
/// channels.
pub fn grey(image: &[f32]) -> Vec<f32> {
    let plane = image.len() / 3;
    (0..plane)
        .map(|i| (image[i] + image[plane + i] + image[2 * plane + i]) / 3.0)
        .collect()
}

/// The mean of the first `count` images of a data set, value by value.
pub fn average(dataset: &dyn Dataset, count: usize) -> Vec<f32> {
    let mut sum = vec![0.0; dataset.shape().iter().product()];
    for index in 0..count {
        for (sum, value) in sum.iter_mut().zip(dataset.image(index)) {
            *sum += value;
        }
    }
    sum.into_iter().map(|value| value / count as f32).collect()
}
// ANCHOR_END: solutions

// ANCHOR: project
/// Which of the first `count` images of a data set is nearest to `image`: its index,
/// and the mean squared difference between the two.
pub fn nearest(image: &[f32], dataset: &dyn Dataset, count: usize) -> (usize, f32) {
    let difference = |index: usize| {
        let other = dataset.image(index);
        let squares = image.iter().zip(&other).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f32>() / image.len() as f32
    };
    (0..count)
        .map(|index| (index, difference(index)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .expect("a data set has images")
}
// ANCHOR_END: project
