//! One image file.

use std::path::Path;

use image::imageops::FilterType;

use super::DataError;
use crate::from_byte;

/// An image that was read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFile {
    /// Height and width in the file.
    pub size: [usize; 2],
    /// `channels × height × width` values in [-1, 1], cut from the middle and brought to the wanted size.
    pub values: Vec<f32>,
}

/// Reads an image file (PNG, JPEG, GIF, BMP or WebP) as `[channels, height, width]`, with one channel (grey) or three.
///
/// # Errors
/// If it is missing or no image.
///
/// # Panics
/// If `channels` is neither 1 nor 3.
pub fn read_image(path: &Path, [channels, height, width]: [usize; 3]) -> Result<ImageFile, DataError> {
    let image = image::open(path)
        .map_err(|e| DataError::bad(path, format!("is not an image that can be read ({e}): repair or remove it")))?;
    let size = [image.height() as usize, image.width() as usize];
    // Pixels that were drawn large come back as they were; everything else is smoothed.
    let drawn_large =
        size[0].is_multiple_of(height) && size[1].is_multiple_of(width) && size[0] / height == size[1] / width;
    let fitting = match drawn_large {
        true => image.thumbnail_exact(width as u32, height as u32),
        false => image.resize_to_fill(width as u32, height as u32, FilterType::Triangle),
    };
    let bytes = match channels {
        1 => fitting.to_luma8().into_raw(),
        3 => fitting.to_rgb8().into_raw(),
        _ => panic!("an image has 1 or 3 channels, not {channels}"),
    };
    // From pixel after pixel to channel after channel.
    let plane = height * width;
    let values = (0..channels * plane).map(|i| from_byte(bytes[i % plane * channels + i / plane])).collect();
    Ok(ImageFile { size, values })
}
