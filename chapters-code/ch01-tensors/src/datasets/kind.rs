//! What kind of file this is, by its content.

use std::io::{self, Read, Seek};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageResult};

/// The kinds of pictures that are read, as a message names them.
pub(super) const KINDS: &str = "PNG, JPEG, GIF, BMP, WebP or TIFF";

/// What the first bytes of a file say about the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Picture(ImageFormat),
    /// A picture, but of a kind that is not read: HEIC, AVIF, JPEG XL.
    OtherPicture,
    NoPicture,
}

/// Looks at the first bytes; `input` is at its start again after that.
pub(super) fn look(input: &mut (impl Read + Seek)) -> io::Result<Kind> {
    let mut head = Vec::new();
    input.take(32).read_to_end(&mut head)?;
    input.rewind()?;
    Ok(kind(&head))
}

fn kind(head: &[u8]) -> Kind {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    match image::guess_format(head) {
        // Texts may begin with its two letters.
        Ok(Bmp) if !is_bmp(head) => Kind::NoPicture,
        Ok(format @ (Png | Jpeg | Gif | Bmp | WebP | Tiff)) => Kind::Picture(format),
        _ if is_other_picture(head) => Kind::OtherPicture,
        _ => Kind::NoPicture,
    }
}

/// Whether one of the known headers follows, each of which begins with its length.
fn is_bmp(head: &[u8]) -> bool {
    head.get(14..18).is_some_and(|length| matches!(length, [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

fn is_other_picture(head: &[u8]) -> bool {
    const BRANDS: [&[u8]; 6] = [b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypavif", b"ftypavis"];
    head.get(4..12).is_some_and(|brand| BRANDS.contains(&brand)) || head.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
}

/// How a PNG file asks to be turned; `input` is at its start again after that. The decoder would not see a chunk that
/// comes after the pixels.
pub(super) fn png_orientation(input: &mut io::BufReader<impl Read + Seek>) -> io::Result<Orientation> {
    let exif = png_exif(input);
    input.rewind()?;
    match exif {
        Ok(exif) => Ok(upright_if_silent(Some(exif))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Orientation::NoTransforms),
        Err(error) => Err(error),
    }
}

/// The content of the chunk `eXIf`, or the end of the file.
fn png_exif(input: &mut io::BufReader<impl Read + Seek>) -> io::Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_content() {
        let bmp = [b"BM".as_slice(), &[0; 12], &[40, 0, 0, 0], &[0; 14]].concat();
        let cases: [(&[u8], Kind); 8] = [
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Kind::Picture(ImageFormat::Png)),
            (b"\xff\xd8\xff\xe0", Kind::Picture(ImageFormat::Jpeg)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Kind::Picture(ImageFormat::WebP)),
            (&bmp, Kind::Picture(ImageFormat::Bmp)),
            (b"BMW and other makers of cars", Kind::NoPicture),
            (b"P5 is not much of a beginning", Kind::NoPicture),
            (b"\0\0\0\x18ftypheic\0\0\0\0", Kind::OtherPicture),
            (b"", Kind::NoPicture),
        ];
        for (head, wanted) in cases {
            assert_eq!(kind(head), wanted, "{head:?}");
        }
    }
}
