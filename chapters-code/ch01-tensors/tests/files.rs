//! Image files.

mod pictures;

use std::error::Error;
use std::path::Path;

use ch01_tensors::{read_image, to_byte, Cats, Color, Dataset, Split};
use image::{Rgb, RgbImage};
use pictures::{end, header, pixels, png, turned};

/// Writes a file, reads it as an image with three channels, and returns the values as bytes.
fn read(
    file: &[u8],
    height: usize,
    width: usize,
    ground: Color,
) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    std::fs::write(&path, file).unwrap();
    let image = read_image(&path, [3, height, width], ground)
        .map_err(|error| error.to_string())?;
    Ok(image.values.into_iter().map(to_byte).collect())
}

#[test]
fn a_cat_that_was_drawn_large_is_read_as_it_was() {
    let cat = Cats::new(Split::Train).image(17);
    let byte = |x: u32, y: u32, c: u32| to_byte(cat[(c * 256 + y * 16 + x) as usize]);
    let folder = tempfile::tempdir().unwrap();
    for factor in [1, 8] {
        let large = RgbImage::from_fn(16 * factor, 16 * factor, |x, y| {
            Rgb([0, 1, 2].map(|c| byte(x / factor, y / factor, c)))
        });
        let path = folder.path().join("cat.png");
        large.save(&path).unwrap();
        let read = read_image(&path, [3, 16, 16], Color::WHITE).unwrap();
        assert_eq!(read.size, [16 * factor as usize; 2]);
        for (read, drawn) in read.values.iter().zip(&cat) {
            assert_eq!(to_byte(*read), to_byte(*drawn), "{factor} times as large");
        }
    }
}

/// Four quarters of different colours.
fn upright(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => Rgb([250, 10, 10]),
        (false, true) => Rgb([10, 250, 10]),
        (true, false) => Rgb([10, 10, 250]),
        (false, false) => Rgb([250, 250, 10]),
    })
}

/// The picture as a camera stores it if this orientation is to turn it upright.
fn stored(upright: &RgbImage, orientation: u8) -> RgbImage {
    let (right, bottom) = (upright.width() - 1, upright.height() - 1);
    let (width, height) = match orientation {
        1..=4 => upright.dimensions(),
        _ => (upright.height(), upright.width()),
    };
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = match orientation {
            1 => (x, y),
            2 => (right - x, y),
            3 => (right - x, bottom - y),
            4 => (x, bottom - y),
            5 => (y, x),
            6 => (right - y, x),
            7 => (right - y, bottom - x),
            _ => (y, bottom - x),
        };
        *upright.get_pixel(x, y)
    })
}

#[test]
fn pictures_are_upright() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    let upright = upright(48, 32);
    // First the same proportions, wider than tall; then a square cut from the middle.
    for (shape, corners) in
        [([3, 8, 12], [0, 11, 84, 95]), ([3, 10, 10], [0, 9, 90, 99])]
    {
        for format in ["jpeg", "webp", "png", "png, late", "tiff"] {
            for orientation in 1..=8 {
                let file = turned(&stored(&upright, orientation), format, orientation);
                std::fs::write(&path, file).unwrap();
                let read = read_image(&path, shape, Color::WHITE).unwrap();
                assert_eq!(read.size, [32, 48], "{format}, orientation {orientation}");
                let plane = shape[1] * shape[2];
                let found = corners
                    .map(|i| [0, 1, 2].map(|c| to_byte(read.values[c * plane + i])));
                let wanted =
                    [[250, 10, 10], [10, 250, 10], [10, 10, 250], [250, 250, 10]];
                for (found, wanted) in
                    found.iter().flatten().zip(wanted.iter().flatten())
                {
                    assert!(
                        found.abs_diff(*wanted) < 25,
                        "{format}, orientation {orientation}: {found}, {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_transparent_shows_the_ground() {
    // Each file has two pixels, one fully transparent, one half-transparent; both are dark red, or
    // both grey.
    let files: [(&str, Vec<u8>, [u8; 3]); 5] = [
        (
            "RGBA",
            png(&[
                header(2, 1, 8, 6),
                pixels(&[0, 100, 0, 0, 0, 100, 0, 0, 128]),
                end(),
            ]),
            [100, 0, 0],
        ),
        (
            "grey with alpha",
            png(&[header(2, 1, 8, 4), pixels(&[0, 80, 0, 80, 128]), end()]),
            [80; 3],
        ),
        (
            "palette",
            png(&[
                header(2, 1, 8, 3),
                (b"PLTE", vec![100, 0, 0, 100, 0, 0]),
                (b"tRNS", vec![0, 128]),
                pixels(&[0, 0, 1]),
                end(),
            ]),
            [100, 0, 0],
        ),
        (
            "16 bits",
            png(&[
                header(2, 1, 16, 6),
                pixels(&[
                    0, 100, 100, 0, 0, 0, 0, 0, 0, 100, 100, 0, 0, 0, 0, 128, 128,
                ]),
                end(),
            ]),
            [100, 0, 0],
        ),
        (
            "grey with alpha, 16 bits",
            png(&[
                header(2, 1, 16, 4),
                pixels(&[0, 80, 80, 0, 0, 80, 80, 128, 128]),
                end(),
            ]),
            [80; 3],
        ),
    ];
    for ground in [Color::WHITE, Color::BLACK, Color([32, 64, 96])] {
        for (kind, file, color) in &files {
            let found = read(file, 1, 2, ground).unwrap();
            for (channel, (color, ground)) in color.iter().zip(ground.0).enumerate() {
                assert_eq!(found[2 * channel], ground, "{kind}");
                let half =
                    (f32::from(*color) * 128.0 + f32::from(ground) * 127.0) / 255.0;
                assert!(
                    (f32::from(found[2 * channel + 1]) - half).abs() <= 1.0,
                    "{kind}: {found:?} on {ground}"
                );
            }
        }
    }
    // An RGB file can declare one colour to be transparent.
    let key = (b"tRNS", vec![0, 100, 0, 0, 0, 0]);
    let file = png(&[header(2, 1, 8, 2), key, pixels(&[0, 100, 0, 0, 9, 9, 9]), end()]);
    assert_eq!(read(&file, 1, 2, Color::WHITE).unwrap(), [255, 9, 255, 9, 255, 9]);
}

#[test]
fn grey_is_read_from_colour() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    RgbImage::from_pixel(4, 4, Rgb([255, 0, 0])).save(&path).unwrap();
    let read = read_image(&path, [1, 2, 2], Color::WHITE).unwrap();
    assert_eq!(read.values.len(), 4);
    assert!(read.values.iter().all(|&v| (50..60).contains(&to_byte(v))));
}

#[test]
fn a_decoder_that_panics_is_an_error() {
    // A palette of four bytes: one colour and a third of another.
    let file = png(&[
        header(5, 1, 2, 3),
        (b"PLTE", vec![1, 2, 3, 4]),
        pixels(&[0, 0b0001_1011, 0]),
        end(),
    ]);
    let error = read(&file, 8, 8, Color::WHITE).unwrap_err();
    assert!(
        error.contains("picture") && error.contains("not an image that can be read"),
        "{error}"
    );
    // A file that is damaged anywhere, or cut short, is either read or named in an error.
    for format in ["jpeg", "webp", "png", "tiff"] {
        let whole = turned(&upright(24, 16), format, 6);
        for i in (0..whole.len()).step_by(11) {
            let mut damaged = whole.clone();
            damaged[i] ^= 0xff;
            for file in [damaged.as_slice(), &whole[..i]] {
                let error = read(file, 8, 8, Color::WHITE).err();
                assert!(
                    error.is_none_or(|error| error.contains("picture: is ")),
                    "{format}, byte {i}"
                );
            }
        }
    }
}

#[test]
fn sizes_are_bounded() {
    let long = |width: u32, height: u32, bits: u8| {
        let row = vec![0; (width as usize * usize::from(bits)).div_ceil(8) + 1];
        png(&[
            header(width, height, bits, 0),
            pixels(&row.repeat(height.min(1000) as usize)),
            end(),
        ])
    };
    for (width, height) in [(40_000, 40_000), (u32::MAX >> 1, 1), (100_000_000, 1)] {
        let file = png(&[header(width, height, 8, 2), pixels(&[0; 10]), end()]);
        let error = read(&file, 8, 8, Color::WHITE).unwrap_err();
        assert!(
            error.contains("picture: is ") && !error.contains("gave up"),
            "{error}"
        );
    }
    assert_eq!(
        read(&long(1, 1000, 8), 64, 64, Color::WHITE).unwrap(),
        [0; 3 * 64 * 64]
    );
    assert_eq!(read(&long(2_000_000, 1, 1), 8, 8, Color::WHITE).unwrap(), [0; 3 * 64]);
}

#[test]
fn errors_say_what_is_the_matter() {
    let error = |path: &Path| read_image(path, [3, 8, 8], Color::WHITE).unwrap_err();
    let folder = tempfile::tempdir().unwrap();
    let missing = error(&folder.path().join("missing.png"));
    assert!(missing.to_string().ends_with("missing.png"), "{missing}");
    let why = missing.source().unwrap().to_string();
    assert!(why.starts_with("No such file"), "{why}");
    assert!(error(folder.path()).to_string().contains("not a regular file"));
    let text = folder.path().join("text.png");
    std::fs::write(&text, "a text").unwrap();
    assert!(error(&text).to_string().contains("text.png: is not an image"));
}
