//! Small picture files, written byte by byte where no encoder can write them.

use std::io::Write;

use image::{ExtendedColorType, ImageEncoder, RgbImage};

/// A PNG file of these chunks, each with a name and its content.
pub fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in chunks {
        file.extend((content.len() as u32).to_be_bytes());
        file.extend(*name);
        file.extend(content);
        let mut sum = flate2::Crc::new();
        sum.update(*name);
        sum.update(content);
        file.extend(sum.sum().to_be_bytes());
    }
    file
}

/// The first chunk of a PNG file. Colour types: 0 grey, 2 RGB, 3 palette, 4 grey with
/// alpha, 6 RGB with alpha.
pub fn header(
    width: u32,
    height: u32,
    bits: u8,
    color_type: u8,
) -> (&'static [u8; 4], Vec<u8>) {
    let sizes = [width.to_be_bytes(), height.to_be_bytes()].concat();
    (b"IHDR", [sizes.as_slice(), &[bits, color_type, 0, 0, 0]].concat())
}

/// The pixels of a PNG file: rows, each with a zero in front.
pub fn pixels(rows: &[u8]) -> (&'static [u8; 4], Vec<u8>) {
    let mut zipped =
        flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(rows).unwrap();
    (b"IDAT", zipped.finish().unwrap())
}

pub fn end() -> (&'static [u8; 4], Vec<u8>) {
    (b"IEND", Vec::new())
}

/// EXIF with nothing but an orientation, 1 to 8.
pub fn exif(orientation: u8) -> Vec<u8> {
    [
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(),
        &[orientation, 0, 0, 0],
        &[0; 4],
    ]
    .concat()
}

/// The image as a file in this format, with this orientation.
pub fn turned(image: &RgbImage, format: &str, orientation: u8) -> Vec<u8> {
    let mut file = Vec::new();
    match format {
        "jpeg" => with_exif(
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 100),
            image,
            orientation,
        ),
        "webp" => with_exif(
            image::codecs::webp::WebPEncoder::new_lossless(&mut file),
            image,
            orientation,
        ),
        "png" => with_exif(
            image::codecs::png::PngEncoder::new(&mut file),
            image,
            orientation,
        ),
        "tiff" => return tiff(image, orientation),
        _ => {
            // A PNG file with its EXIF after the pixels.
            let rows = image.rows().flat_map(|row| {
                std::iter::once(0).chain(row.flat_map(|pixel| pixel.0))
            });
            let first = header(image.width(), image.height(), 8, 2);
            return png(&[
                first,
                pixels(&rows.collect::<Vec<_>>()),
                (b"eXIf", exif(orientation)),
                end(),
            ]);
        }
    }
    file
}

fn with_exif(mut encoder: impl ImageEncoder, image: &RgbImage, orientation: u8) {
    encoder.set_exif_metadata(exif(orientation)).unwrap();
    encoder
        .write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .unwrap();
}

/// A TIFF file: header, pixels, one directory.
fn tiff(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let length = image.as_raw().len() as u32;
    let mut file = b"II*\0".to_vec();
    file.extend((8 + length + 6).to_le_bytes());
    file.extend(image.as_raw());
    file.extend([8, 0, 8, 0, 8, 0]); // bits per sample
                                     // Tag, type (3: 16 bits, 4: 32 bits), count,
                                     // value.
    let entries: [[u32; 4]; 10] = [
        [256, 4, 1, image.width()],
        [257, 4, 1, image.height()],
        [258, 3, 3, 8 + length],
        [259, 3, 1, 1],
        [262, 3, 1, 2],
        [273, 4, 1, 8],
        [274, 3, 1, orientation.into()],
        [277, 3, 1, 3],
        [278, 4, 1, image.height()],
        [279, 4, 1, length],
    ];
    file.extend((entries.len() as u16).to_le_bytes());
    for [tag, kind, count, value] in entries {
        file.extend((tag as u16).to_le_bytes());
        file.extend((kind as u16).to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}
