use std::io::Cursor;
use std::path::Path;

use dfdx::prelude::*;
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, ImageFormat, Rgb, RgbImage};

use ops::{Images, UNetDevice};

use crate::FigureError;

/// A small image as the chapters hold it.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// `channels × height × width` values; -1 is black, 1 is white, what lies outside is cut off.
    pub values: &'a [f32],
    /// 1 (grey) or 3 (red, green, blue); of other counts the first is shown as grey.
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Picture<'_> {
    fn pixel(&self, x: usize, y: usize) -> Rgb<u8> {
        let plane = self.height * self.width;
        let byte =
            |c: usize| ((self.values[c * plane + y * self.width + x].clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8;
        Rgb(if self.channels == 3 { [byte(0), byte(1), byte(2)] } else { [byte(0); 3] })
    }
}

/// Pictures of one size in rows of `columns`, each pixel `scale` pixels wide, a thin gap between pictures.
///
/// # Panics
/// If there is no picture, or `columns` or `scale` is 0.
pub fn grid(pictures: &[Picture], columns: usize, scale: usize) -> RgbImage {
    assert!(!pictures.is_empty() && columns > 0 && scale > 0, "a grid needs pictures, columns and a scale");
    let (height, width) = (pictures[0].height * scale, pictures[0].width * scale);
    let gap = (scale / 4).max(1);
    let columns = columns.min(pictures.len());
    let rows = pictures.len().div_ceil(columns);
    let total = |n: usize, size: usize| (n * (size + gap) - gap) as u32;
    let mut out = RgbImage::from_pixel(total(columns, width), total(rows, height), Rgb([255; 3]));
    for (i, picture) in pictures.iter().enumerate() {
        let (left, top) = (i % columns * (width + gap), i / columns * (height + gap));
        for y in 0..height {
            for x in 0..width {
                out.put_pixel((left + x) as u32, (top + y) as u32, picture.pixel(x / scale, y / scale));
            }
        }
    }
    out
}

/// A batch of images as one picture, in rows of `columns`, each pixel `scale` pixels wide.
///
/// # Panics
/// If the batch is empty, or `columns` or `scale` is 0.
pub fn image_grid<D: UNetDevice>(images: &Images<D>, columns: usize, scale: usize) -> RgbImage {
    let (_, channels, height, width) = *images.shape();
    grid_of(&images.as_vec(), [channels, height, width], columns, scale)
}

/// Batches of as many images each as one picture, a row for each batch.
///
/// # Panics
/// If there are none, or `scale` is 0.
pub fn image_rows<D: UNetDevice>(batches: &[Images<D>], scale: usize) -> RgbImage {
    let (columns, channels, height, width) = *batches[0].shape();
    let values: Vec<f32> = batches.iter().flat_map(|images| images.as_vec()).collect();
    grid_of(&values, [channels, height, width], columns, scale)
}

fn grid_of(values: &[f32], [channels, height, width]: [usize; 3], columns: usize, scale: usize) -> RgbImage {
    let images = values.chunks(channels * height * width);
    let pictures: Vec<_> = images.map(|values| Picture { values, channels, height, width }).collect();
    grid(&pictures, columns, scale)
}

/// The bytes of a PNG.
pub(crate) fn png(image: &RgbImage) -> Result<Vec<u8>, FigureError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Writes a PNG.
///
/// # Errors
/// If the file cannot be written.
pub fn save_png(path: impl AsRef<Path>, image: &RgbImage) -> Result<(), FigureError> {
    Ok(files::write(path, &png(image)?)?)
}

/// The bytes of an endless GIF; each frame shows for `milliseconds`, the last five times as long.
pub(crate) fn gif(frames: &[RgbImage], milliseconds: u32) -> Result<Vec<u8>, FigureError> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
        encoder.set_repeat(Repeat::Infinite)?;
        for (i, frame) in frames.iter().enumerate() {
            let time = if i + 1 == frames.len() { 5 * milliseconds } else { milliseconds };
            let rgba = image::DynamicImage::ImageRgb8(frame.clone()).to_rgba8();
            encoder.encode_frame(Frame::from_parts(rgba, 0, 0, Delay::from_numer_denom_ms(time, 1)))?;
        }
    }
    Ok(bytes)
}

/// Writes an endless GIF; each frame shows for `milliseconds`, the last five times as long.
///
/// # Errors
/// If the file cannot be written.
pub fn save_gif(path: impl AsRef<Path>, frames: &[RgbImage], milliseconds: u32) -> Result<(), FigureError> {
    Ok(files::write(path, &gif(frames, milliseconds)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_shows_each_pixel_where_it_belongs() {
        let values = [-1.0, 1.0, 0.0, 2.0];
        let picture = Picture { values: &values, channels: 1, height: 2, width: 2 };
        let out = grid(&[picture, picture, picture], 2, 2);
        // Two columns and two rows of 4 pixels with one pixel between.
        assert_eq!(out.dimensions(), (9, 9));
        assert_eq!(out.get_pixel(0, 0), &Rgb([0; 3]));
        assert_eq!(out.get_pixel(2, 0), &Rgb([255; 3]));
        assert_eq!(out.get_pixel(5, 2), &Rgb([128; 3]));
        assert_eq!(out.get_pixel(3, 3), &Rgb([255; 3]), "2.0 is cut off at white");
    }
}
