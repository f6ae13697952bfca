//! Crops and resizes a picture, row by row, so that a large one is held in memory only once, not
//! twice.

use image::{DynamicImage, GenericImageView, Rgb, RgbImage};

use super::color::Color;

/// The pixels of a row or column that make up one pixel of the result: the index of the first, and
/// the share of each.
struct Taps {
    first: usize,
    shares: Vec<f32>,
}

/// The picture, laid over `ground`, cropped around its centre to the proportions of `height` and
/// `width`, and scaled to that size. Pixels that were drawn as larger squares come back as they
/// were; everything else is smoothed.
pub(super) fn fit(
    image: &DynamicImage,
    [height, width]: [usize; 2],
    ground: Color,
) -> RgbImage {
    let from = [image.height() as usize, image.width() as usize];
    let drawn_large = from[0].is_multiple_of(height)
        && from[1].is_multiple_of(width)
        && from[0] / height == from[1] / width;
    let step = (from[0] as f64 / height as f64).min(from[1] as f64 / width as f64);
    let rows = taps(from[0], height, step, drawn_large);
    let columns = taps(from[1], width, step, drawn_large);

    let mut sums = vec![[0.0f32; 3]; height * width];
    for y in covered(&rows) {
        let line = shrink(&over_ground(image, y, covered(&columns), ground), &columns);
        for (row, sums) in rows.iter().zip(sums.chunks_mut(width)) {
            if let Some(share) =
                y.checked_sub(row.first).and_then(|i| row.shares.get(i))
            {
                line.iter().zip(sums).for_each(|(color, sum)| add(sum, *share, color));
            }
        }
    }
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb(sums[y as usize * width + x as usize].map(|value| value.round() as u8))
    })
}

/// For each of the result's `count` pixels: which of the `length` pixels make it up. Each pixel of
/// the result is `step` wide; together they cover the middle of the `length` pixels. The weights
/// are equal if the picture was `drawn_large`; otherwise they fall off linearly.
fn taps(length: usize, count: usize, step: f64, drawn_large: bool) -> Vec<Taps> {
    let start = (length as f64 - step * count as f64) / 2.0;
    let reach = if drawn_large { step / 2.0 } else { step.max(1.0) };
    let taps = |center: f64| {
        let first = (center - reach).floor().max(0.0) as usize;
        let last = ((center + reach).ceil() as usize).min(length);
        let share = |pixel: usize| {
            let distance = (pixel as f64 + 0.5 - center).abs() / reach;
            if drawn_large {
                f64::from(distance < 1.0)
            } else {
                (1.0 - distance).max(0.0)
            }
        };
        let total: f64 = (first..last).map(share).sum();
        Taps {
            first,
            shares: (first..last).map(|pixel| (share(pixel) / total) as f32).collect(),
        }
    };
    (0..count).map(|i| taps(start + (i as f64 + 0.5) * step)).collect()
}

/// The range from the first pixel used to the last.
fn covered(taps: &[Taps]) -> std::ops::Range<usize> {
    taps[0].first..taps.last().map_or(0, |last| last.first + last.shares.len())
}

/// Part of row `y`, laid over `ground`.
fn over_ground(
    image: &DynamicImage,
    y: usize,
    part: std::ops::Range<usize>,
    ground: Color,
) -> Vec<[f32; 3]> {
    let pixel = |x: usize| {
        let [red, green, blue, alpha] =
            image.get_pixel(x as u32, y as u32).0.map(f32::from);
        let opaque = alpha / 255.0;
        let blend = |color: f32, ground: u8| {
            color * opaque + f32::from(ground) * (1.0 - opaque)
        };
        [blend(red, ground.0[0]), blend(green, ground.0[1]), blend(blue, ground.0[2])]
    };
    // Pixels before the part are not used, but keep their places.
    std::iter::repeat_n([0.0; 3], part.start).chain(part.map(pixel)).collect()
}

fn shrink(line: &[[f32; 3]], columns: &[Taps]) -> Vec<[f32; 3]> {
    let mixed = |column: &Taps| {
        let mut sum = [0.0; 3];
        let colors = &line[column.first..];
        column
            .shares
            .iter()
            .zip(colors)
            .for_each(|(share, color)| add(&mut sum, *share, color));
        sum
    };
    columns.iter().map(mixed).collect()
}

fn add(sum: &mut [f32; 3], share: f32, color: &[f32; 3]) {
    sum.iter_mut().zip(color).for_each(|(sum, color)| *sum += share * color);
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgba};

    use super::*;

    #[test]
    fn what_is_smoothed_is_smoothed_as_others_do() {
        let image = DynamicImage::from(RgbImage::from_fn(50, 31, |x, y| {
            Rgb([(x * 5) as u8, (y * 8) as u8, (x * y / 8) as u8])
        }));
        for size in [7, 64] {
            let wanted = image
                .resize_to_fill(size, size, image::imageops::FilterType::Triangle)
                .to_rgb8();
            let found = fit(&image, [size as usize; 2], Color::WHITE);
            let inner = |v: &u32| (size / 8 + 1..size - size / 8 - 1).contains(v);
            for (x, y, pixel) in
                found.enumerate_pixels().filter(|(x, y, _)| inner(x) && inner(y))
            {
                for (found, wanted) in pixel.0.iter().zip(wanted.get_pixel(x, y).0) {
                    // `resize_to_fill` cuts at whole pixels, `fit` between them.
                    assert!(
                        found.abs_diff(wanted) <= 12,
                        "{size}: ({x}, {y}) is {found}, not {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_transparent_colour_leaves_no_fringe() {
        // Right half opaque red, left half transparent black.
        let half =
            |x: u32| if x < 15 { Rgba([0, 0, 0, 0]) } else { Rgba([255, 0, 0, 255]) };
        let image = image::RgbaImage::from_fn(30, 30, |x, _| half(x)).into();
        for pixel in fit(&image, [7, 7], Color::WHITE).pixels() {
            assert_eq!(
                pixel.0[0], 255,
                "nothing between white and red is darker: {pixel:?}"
            );
        }
    }

    #[test]
    fn a_strip_is_cut_before_it_is_enlarged() {
        let image = image::GrayImage::from_fn(1, 2001, |_, y| {
            Luma([if y == 1000 { 200 } else { 0 }])
        })
        .into();
        let found = fit(&image, [64, 64], Color::WHITE);
        assert_eq!(
            found.get_pixel(0, 32).0,
            [198; 3],
            "the middle, and next to nothing of what is above and below"
        );
    }
}
