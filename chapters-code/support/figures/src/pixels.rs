use std::path::Path;

use dfdx::prelude::*;
use image::codecs::gif::{GifEncoder, Repeat};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{Delay, ExtendedColorType, Frame, ImageEncoder, Rgb, RgbImage, RgbaImage};

use ops::{Images, UNetDevice};

use crate::FigureError;

/// A small image as the chapters hold it.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// `channels × height × width` values; -1 is black and 1 is white; values outside that range
    /// are clamped.
    pub values: &'a [f32],
    /// 1 (grey) or 3 (red, green, blue); with any other number, only the first channel is shown, as
    /// grey.
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Picture<'_> {
    fn pixel(&self, x: usize, y: usize) -> Rgb<u8> {
        let plane = self.height * self.width;
        let byte = |c: usize| {
            ((self.values[c * plane + y * self.width + x].clamp(-1.0, 1.0) + 1.0) * 127.5).round()
                as u8
        };
        Rgb(if self.channels == 3 { [byte(0), byte(1), byte(2)] } else { [byte(0); 3] })
    }
}

/// The most pixels that a picture, or a whole film, may have: 805 MB while it is being made.
pub const MOST_PIXELS: usize = 1 << 28;
/// The longest side that a GIF can have.
const GIF_SIDE: usize = u16::MAX as usize;

/// The gap between pictures whose pixels are drawn `scale` pixels wide.
fn gap(scale: usize) -> usize {
    (scale / 4).max(1)
}

/// The length of `n` pictures of `size` pixels and the gaps between them.
fn side(n: usize, size: usize, scale: usize) -> usize {
    let each = size.saturating_mul(scale).saturating_add(gap(scale));
    n.saturating_mul(each).saturating_sub(gap(scale))
}

/// Finds out, before anything is drawn, whether a [`grid`] of `count` pictures of `[channels,
/// height, width]` can be made.
///
/// # Errors
/// If it would have more than [`MOST_PIXELS`]; the message says how many.
pub fn check_grid(
    count: usize,
    columns: usize,
    shape: [usize; 3],
    scale: usize,
) -> Result<(), FigureError> {
    check_size(1, grid_size(count, columns, shape, scale))
}

/// The same for a film of `frames` such grids.
///
/// # Errors
/// Also if a side is longer than a GIF allows.
pub fn check_film(
    frames: usize,
    count: usize,
    columns: usize,
    shape: [usize; 3],
    scale: usize,
) -> Result<(), FigureError> {
    let [width, height] = grid_size(count, columns, shape, scale);
    if width.max(height) > GIF_SIDE {
        return Err(FigureError::WideFilm { width, height, most: GIF_SIDE });
    }
    check_size(frames, [width, height])
}

fn grid_size(
    count: usize,
    columns: usize,
    [_, height, width]: [usize; 3],
    scale: usize,
) -> [usize; 2] {
    let columns = columns.clamp(1, count.max(1));
    [side(columns, width, scale), side(count.div_ceil(columns), height, scale)]
}

fn check_size(frames: usize, [width, height]: [usize; 2]) -> Result<(), FigureError> {
    let pixels = frames.saturating_mul(width).saturating_mul(height);
    match pixels > MOST_PIXELS {
        true => {
            Err(FigureError::TooLarge { frames, width, height, gigabytes: 3e-9 * pixels as f64 })
        }
        false => Ok(()),
    }
}

/// Pictures of one size in rows of `columns`, each pixel `scale` pixels wide, with a thin gap
/// between pictures.
///
/// # Panics
/// If there is no picture, or `columns` or `scale` is 0.
pub fn grid(pictures: &[Picture], columns: usize, scale: usize) -> RgbImage {
    assert!(
        !pictures.is_empty() && columns > 0 && scale > 0,
        "a grid needs pictures, columns and a scale"
    );
    let Picture { channels, height, width, .. } = pictures[0];
    let columns = columns.min(pictures.len());
    let [all_width, all_height] =
        grid_size(pictures.len(), columns, [channels, height, width], scale);
    let mut out = RgbImage::from_pixel(all_width as u32, all_height as u32, Rgb([255; 3]));
    let (height, width, gap) = (height * scale, width * scale, gap(scale));
    for (i, picture) in pictures.iter().enumerate() {
        let (left, top) = (i % columns * (width + gap), i / columns * (height + gap));
        for y in 0..height {
            for x in 0..width {
                out.put_pixel(
                    (left + x) as u32,
                    (top + y) as u32,
                    picture.pixel(x / scale, y / scale),
                );
            }
        }
    }
    out
}

/// A [`grid`] of square images of `side` pixels, reduced to a scale of 1, with gaps one pixel wide;
/// `None` if the picture is not such a grid, or has that scale already.
pub fn natural_size(picture: &RgbImage, side: usize) -> Option<RgbImage> {
    (2..=16).find_map(|scale| reduced(picture, side, scale))
}

fn reduced(picture: &RgbImage, side: usize, scale: usize) -> Option<RgbImage> {
    const WHITE: Rgb<u8> = Rgb([255; 3]);
    let step = (side * scale + gap(scale)) as u32;
    let [across, down] =
        [picture.width(), picture.height()].map(|length| length + gap(scale) as u32);
    if across % step != 0 || down % step != 0 {
        return None;
    }
    let length = |images: u32| images * (side as u32 + 1) - 1;
    let mut small = RgbImage::from_pixel(length(across / step), length(down / step), WHITE);
    // Where along one axis of the small picture a pixel of the large one belongs; `None` for a
    // gap.
    let place = |at: u32| {
        let within = at % step / scale as u32;
        (within < side as u32).then_some(at / step * (side as u32 + 1) + within)
    };
    for (x, y, &pixel) in picture.enumerate_pixels() {
        if let Some((x, y)) = place(x).zip(place(y)) {
            small.put_pixel(x, y, pixel);
        }
    }
    let is_same = |(x, y, &pixel): (u32, u32, &Rgb<u8>)| match place(x).zip(place(y)) {
        Some((x, y)) => *small.get_pixel(x, y) == pixel,
        None => pixel == WHITE,
    };
    picture.enumerate_pixels().all(is_same).then_some(small)
}

/// The same picture with an alpha channel: every pixel is fully opaque.
pub fn rgba(picture: RgbImage) -> RgbaImage {
    image::DynamicImage::ImageRgb8(picture).into_rgba8()
}

/// A batch of images as one picture, in rows of `columns`, each pixel `scale` pixels wide.
///
/// # Panics
/// If the batch is empty, or `columns` or `scale` is 0.
pub fn image_grid<D: UNetDevice>(images: &Images<D>, columns: usize, scale: usize) -> RgbImage {
    let (_, channels, height, width) = *images.shape();
    grid_of(&images.as_vec(), [channels, height, width], columns, scale)
}

/// Batches with the same number of images each, as one picture: a row for each batch.
///
/// # Panics
/// If there are none, or `scale` is 0.
pub fn image_rows<D: UNetDevice>(batches: &[Images<D>], scale: usize) -> RgbImage {
    let (columns, channels, height, width) = *batches[0].shape();
    let values: Vec<f32> = batches.iter().flat_map(|images| images.as_vec()).collect();
    grid_of(&values, [channels, height, width], columns, scale)
}

fn grid_of(
    values: &[f32],
    [channels, height, width]: [usize; 3],
    columns: usize,
    scale: usize,
) -> RgbImage {
    let images = values.chunks(channels * height * width);
    let pictures: Vec<_> =
        images.map(|values| Picture { values, channels, height, width }).collect();
    grid(&pictures, columns, scale)
}

/// The bytes of a PNG, which is grey if all pixels are.
///
/// # Errors
/// If the picture cannot be encoded.
pub fn png(image: &RgbImage) -> Result<Vec<u8>, FigureError> {
    let is_grey = |Rgb([red, green, blue]): &Rgb<u8>| red == green && green == blue;
    if image.pixels().all(is_grey) {
        let grey: Vec<u8> = image.pixels().map(|pixel| pixel.0[0]).collect();
        return encoded(&grey, image.dimensions(), ExtendedColorType::L8);
    }
    encoded(image, image.dimensions(), ExtendedColorType::Rgb8)
}

/// Without a filter, because rows and squares that repeat are compressed best as they are.
fn encoded(
    values: &[u8],
    (width, height): (u32, u32),
    color: ExtendedColorType,
) -> Result<Vec<u8>, FigureError> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter)
        .write_image(values, width, height, color)?;
    Ok(bytes)
}

/// Writes a PNG.
///
/// # Errors
/// If the file cannot be written.
pub fn save_png(path: impl AsRef<Path>, image: &RgbImage) -> Result<(), FigureError> {
    Ok(files::write(path, &png(image)?)?)
}

/// Writes a PNG in which an opaque pixel stays opaque, and a transparent one transparent.
///
/// # Errors
/// If the file cannot be written.
pub fn save_transparent_png(path: impl AsRef<Path>, image: &RgbaImage) -> Result<(), FigureError> {
    Ok(files::write(path, &encoded(image, image.dimensions(), ExtendedColorType::Rgba8)?)?)
}

/// The bytes of an endlessly looping GIF: each frame is shown for `milliseconds`, and the last for
/// five times as long.
pub(crate) fn gif(frames: &[RgbImage], milliseconds: u32) -> Result<Vec<u8>, FigureError> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
        encoder.set_repeat(Repeat::Infinite)?;
        for (i, frame) in frames.iter().enumerate() {
            let time = if i + 1 == frames.len() { 5 * milliseconds } else { milliseconds };
            let rgba = image::DynamicImage::ImageRgb8(frame.clone()).to_rgba8();
            encoder.encode_frame(Frame::from_parts(
                rgba,
                0,
                0,
                Delay::from_numer_denom_ms(time, 1),
            ))?;
        }
    }
    Ok(bytes)
}

/// Writes an endlessly looping GIF: each frame is shown for `milliseconds`, and the last for five
/// times as long.
///
/// # Errors
/// If the file cannot be written.
pub fn save_gif(
    path: impl AsRef<Path>,
    frames: &[RgbImage],
    milliseconds: u32,
) -> Result<(), FigureError> {
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
        // Two columns and two rows, 4 pixels each, with one pixel between them.
        assert_eq!(out.dimensions(), (9, 9));
        assert_eq!(out.get_pixel(0, 0), &Rgb([0; 3]));
        assert_eq!(out.get_pixel(2, 0), &Rgb([255; 3]));
        assert_eq!(out.get_pixel(5, 2), &Rgb([128; 3]));
        assert_eq!(out.get_pixel(3, 3), &Rgb([255; 3]), "2.0 is clamped to white");
    }

    #[test]
    fn a_grid_can_be_made_small_again() {
        let values: Vec<f32> = (0..256).map(|i| i as f32 / 128.0 - 1.0).collect();
        let picture = Picture { values: &values, channels: 1, height: 16, width: 16 };
        for scale in [2, 5, 8] {
            let large = grid(&[picture; 3], 2, scale);
            assert_eq!(natural_size(&large, 16), Some(grid(&[picture; 3], 2, 1)));
            assert_eq!(natural_size(&large, 28), None);
            for (x, y) in [(0, 0), (large.width() / 2, large.height() / 2)] {
                let mut odd = large.clone();
                odd.put_pixel(x, y, Rgb([1, 2, 3]));
                assert_eq!(natural_size(&odd, 16), None, "{x}, {y}");
            }
        }
        assert_eq!(natural_size(&grid(&[picture; 3], 2, 1), 16), None);
    }

    #[test]
    fn pictures_too_large_are_known_before_they_are_made() {
        let problem = check_grid(10_000, 100, [3, 16, 16], 64).unwrap_err().to_string();
        assert!(problem.contains("103984x103984") && problem.contains("32.4 GB"), "{problem}");
        check_grid(4096, 64, [3, 16, 16], 8).unwrap();
        check_grid(usize::MAX, 1, [3, usize::MAX, 2], 64).unwrap_err();
        check_film(50, 64, 8, [3, 16, 16], 8).unwrap();
        let problem = check_film(1000, 64, 8, [3, 16, 16], 8).unwrap_err().to_string();
        assert!(problem.contains("1000 frames") && problem.contains("1038x1038"), "{problem}");
        let problem = check_film(1, 2, 2, [3, 1, 40_000], 1).unwrap_err().to_string();
        assert!(problem.contains("80001x1") && problem.contains("65535"), "{problem}");
    }

    #[test]
    fn a_grid_is_as_large_as_was_foretold() {
        let values = [0.0; 6];
        let picture = Picture { values: &values, channels: 1, height: 2, width: 3 };
        for (count, columns, scale) in [(1, 1, 1), (5, 3, 8), (2, 7, 3)] {
            let (width, height) = grid(&vec![picture; count], columns, scale).dimensions();
            assert_eq!(
                [width as usize, height as usize],
                grid_size(count, columns, [1, 2, 3], scale)
            );
        }
    }
}
