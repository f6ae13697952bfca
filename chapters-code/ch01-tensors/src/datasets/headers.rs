//! What the decoders do not tell about a file, read from its headers.

use std::io::{self, BufReader, Read, Seek};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageResult};

/// How a PNG file asks to be turned; `input` is at its start again after that. The decoder would not see a chunk that
/// comes after the pixels.
pub(super) fn png_orientation(input: &mut BufReader<impl Read + Seek>) -> io::Result<Orientation> {
    let exif = png_exif(input);
    input.rewind()?;
    match exif {
        Ok(exif) => Ok(upright_if_silent(Some(exif))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Orientation::NoTransforms),
        Err(error) => Err(error),
    }
}

/// The content of the chunk `eXIf`, or the end of the file.
fn png_exif(input: &mut BufReader<impl Read + Seek>) -> io::Result<Vec<u8>> {
    input.seek_relative(8)?;
    loop {
        let mut header = [0; 8];
        input.read_exact(&mut header)?;
        let [a, b, c, d, name @ ..] = header;
        let length = u32::from_be_bytes([a, b, c, d]);
        if name == *b"eXIf" {
            let mut exif = Vec::new();
            // The orientation is among its first entries.
            input.take(u64::from(length.min(1 << 16))).read_to_end(&mut exif)?;
            return Ok(exif);
        }
        input.seek_relative(i64::from(length) + 4)?;
    }
}

/// How a file asks to be turned, by its decoder.
pub(super) fn orientation(decoder: &mut dyn ImageDecoder, format: ImageFormat) -> ImageResult<Orientation> {
    match format {
        ImageFormat::Tiff => decoder.orientation(),
        _ => Ok(upright_if_silent(decoder.exif_metadata()?)),
    }
}

fn upright_if_silent(exif: Option<Vec<u8>>) -> Orientation {
    let turned = |exif: Vec<u8>| {
        // Some programs write the header here that belongs into a JPEG file.
        Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif))
    };
    exif.and_then(turned).unwrap_or(Orientation::NoTransforms)
}

/// Bytes that the decoder of a JPEG file holds besides the pixels: the coefficients of all
/// blocks if the picture comes in several passes; `input` is at its start again after that.
pub(super) fn jpeg_passes(input: &mut BufReader<impl Read + Seek>) -> io::Result<u64> {
    let bytes = progressive_bytes(input);
    input.rewind()?;
    match bytes {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        bytes => bytes,
    }
}

fn progressive_bytes(input: &mut BufReader<impl Read + Seek>) -> io::Result<u64> {
    input.seek_relative(2)?;
    loop {
        let mut header = [0; 4];
        input.read_exact(&mut header)?;
        let length = u16::from_be_bytes([header[2], header[3]]);
        match header[1] {
            // Filler before a marker.
            0xff => input.seek_relative(-3)?,
            0xc2 => {
                let mut frame = Vec::new();
                input.take(u64::from(length)).read_to_end(&mut frame)?;
                return Ok(coefficient_bytes(&frame));
            }
            // Another kind of frame, or pixels.
            0xc0 | 0xc1 | 0xda => return Ok(0),
            _ => input.seek_relative(i64::from(length) - 2)?,
        }
    }
}

/// Two bytes for each number of each component: its share of the pixels follows from how finely it is sampled.
fn coefficient_bytes(frame: &[u8]) -> u64 {
    // Bits per number, height, width, count of components.
    let [_, sides @ .., _] = frame.first_chunk::<6>().copied().unwrap_or_default();
    let [a, b, c, d] = sides.map(u64::from);
    let samplings = frame.get(6..).unwrap_or_default().chunks_exact(3);
    let samplings: Vec<[u64; 2]> = samplings.map(|part| [part[1] >> 4, part[1] & 15].map(u64::from)).collect();
    let finest = |i: usize| samplings.iter().map(|sampling| sampling[i]).max().unwrap_or(1).max(1);
    let numbers: u64 = samplings.iter().map(|[across, down]| across * down).sum();
    2 * (256 * a + b) * (256 * c + d) * numbers / (finest(0) * finest(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_of_a_jpeg_file_take_memory() {
        let passes = |frame: &[u8]| {
            let file = [b"\xff\xd8\xff\xe0\0\x04ab\xff".as_slice(), frame].concat();
            jpeg_passes(&mut BufReader::new(io::Cursor::new(file))).unwrap()
        };
        // Height 512, width 256, three components, the first sampled twice as finely each way as the others.
        let sides_and_more = b"\0\x11\x08\x02\0\x01\0\x03\x01\x22\0\x02\x11\0\x03\x11\0";
        assert_eq!(passes(&[b"\xff\xc2", &sides_and_more[..]].concat()), 2 * 512 * 256 * 3 / 2);
        assert_eq!(passes(&[b"\xff\xc0", &sides_and_more[..]].concat()), 0);
        for cut in 0..sides_and_more.len() {
            passes(&[b"\xff\xc2", &sides_and_more[..cut]].concat());
        }
    }
}
