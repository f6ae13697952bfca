//! The kind of a file, recognised by its content.

use std::io::{self, Read, Seek};

use image::ImageFormat;

/// The kinds of pictures that are read, as error messages name them.
pub(super) const KINDS: &str = "PNG, JPEG, GIF, BMP, WebP or TIFF";

/// What the first bytes of a file say about the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Picture(ImageFormat),
    /// A picture, but of a kind that is not read: HEIC, AVIF, JPEG XL.
    OtherPicture,
    NoPicture,
}

/// Looks at the first bytes; `input` is back at its start afterwards.
pub(super) fn look(input: &mut (impl Read + Seek)) -> io::Result<Kind> {
    let mut head = Vec::new();
    input.take(32).read_to_end(&mut head)?;
    input.rewind()?;
    Ok(kind(&head))
}

fn kind(head: &[u8]) -> Kind {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    match image::guess_format(head) {
        // A text file can begin with the same two letters.
        Ok(Bmp) if !is_bmp(head) => Kind::NoPicture,
        Ok(format @ (Png | Jpeg | Gif | Bmp | WebP | Tiff)) => Kind::Picture(format),
        _ if is_other_picture(head) => Kind::OtherPicture,
        _ => Kind::NoPicture,
    }
}

/// Whether a known header follows; such headers begin with their own length.
fn is_bmp(head: &[u8]) -> bool {
    head.get(14..18).is_some_and(|length| {
        matches!(length, [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
    })
}

fn is_other_picture(head: &[u8]) -> bool {
    const BRANDS: [&[u8]; 6] =
        [b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypavif", b"ftypavis"];
    head.get(4..12).is_some_and(|brand| BRANDS.contains(&brand))
        || head.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
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
