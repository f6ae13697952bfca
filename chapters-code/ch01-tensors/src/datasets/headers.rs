//! What the decoders do not report about a file, read from its headers.

use std::io::ErrorKind::{InvalidInput, UnexpectedEof};
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat, ImageResult};

/// What a file asks for, where its decoder reports it too late or not at all.
#[derive(Default)]
pub(super) struct Headers {
    /// How the file asks to be turned, for formats whose decoder must not be asked.
    pub turned: Option<Orientation>,
    /// Bytes that the decoder takes before it knows the size of the picture.
    pub lists: u64,
    /// Bytes that the decoder takes besides the pixels.
    pub passes: u64,
    /// Bytes that the pixels of the largest frame take; that frame may be larger than the picture.
    pub frame: u64,
}

impl Headers {
    /// Reads the headers; `input` is back at its start afterwards.
    pub(super) fn read(
        input: &mut BufReader<impl Read + Seek>,
        format: ImageFormat,
    ) -> io::Result<Self> {
        let mut headers =
            Self { turned: chunk_orientation(input, format)?, ..Self::default() };
        match format {
            ImageFormat::Jpeg => headers.passes = jpeg_passes(input)?,
            ImageFormat::Tiff => headers.lists = tiff_lists(input)?,
            ImageFormat::WebP => headers.frame = 3 * webp_frame(input)?,
            _ => {}
        }
        Ok(headers)
    }
}

/// How a PNG or WebP file asks to be turned, or nothing for other formats; `input` is back at its
/// start afterwards. The PNG decoder would not see a chunk that comes after the pixels, and the
/// WebP decoder makes room for as many bytes as a chunk announces.
fn chunk_orientation(
    input: &mut BufReader<impl Read + Seek>,
    format: ImageFormat,
) -> io::Result<Option<Orientation>> {
    let exif = match format {
        ImageFormat::Png => png_exif(input),
        ImageFormat::WebP => webp_exif(input),
        _ => return Ok(None),
    };
    input.rewind()?;
    match exif {
        Ok(exif) => Ok(Some(upright_if_silent(Some(exif)))),
        Err(error) if error.kind() == UnexpectedEof => {
            Ok(Some(Orientation::NoTransforms))
        }
        Err(error) => Err(error),
    }
}

/// The content of the `eXIf` chunk, or an end-of-file error.
fn png_exif(input: &mut BufReader<impl Read + Seek>) -> io::Result<Vec<u8>> {
    input.seek_relative(8)?;
    loop {
        let [a, b, c, d, name @ ..] = array::<8>(input)?;
        let length = u32::from_be_bytes([a, b, c, d]);
        if name == *b"eXIf" {
            return first_entries(input, length);
        }
        input.seek_relative(i64::from(length) + 4)?;
    }
}

/// The content of the `EXIF` chunk, or an end-of-file error.
fn webp_exif(input: &mut BufReader<impl Read + Seek>) -> io::Result<Vec<u8>> {
    input.seek_relative(RIFF_HEADER)?;
    loop {
        let (name, length) = webp_chunk(input)?;
        if name == *b"EXIF" {
            return first_entries(input, length);
        }
        input.seek_relative(i64::from(length) + i64::from(length % 2))?;
    }
}

/// Bytes before the first chunk of a WebP file.
const RIFF_HEADER: i64 = 12;

/// Name and length of a chunk of a WebP file.
fn webp_chunk(input: &mut impl Read) -> io::Result<([u8; 4], u32)> {
    let [name @ .., a, b, c, d] = array::<8>(input)?;
    Ok((name, u32::from_le_bytes([a, b, c, d])))
}

/// Pixels of the largest lossy frame of a WebP file. The decoder makes room for that frame before
/// comparing it with the picture. `input` is back at its start afterwards.
fn webp_frame(input: &mut BufReader<impl Read + Seek>) -> io::Result<u64> {
    let mut largest = 0;
    input.seek_relative(RIFF_HEADER)?;
    let frames = webp_frames(input, i64::MAX, true, &mut largest);
    input.rewind()?;
    match frames {
        Err(error) if error.kind() != UnexpectedEof => Err(error),
        _ => Ok(largest),
    }
}

/// Looks at the chunks in the next `left` bytes and, if `films` is set, also at the chunks inside
/// animation frames.
fn webp_frames(
    input: &mut BufReader<impl Read + Seek>,
    mut left: i64,
    films: bool,
    largest: &mut u64,
) -> io::Result<()> {
    while left >= 8 {
        let (name, length) = webp_chunk(input)?;
        left -= 8;
        let length = (i64::from(length) + i64::from(length % 2)).min(left);
        left -= length;
        let seen = match &name {
            b"VP8 " if length >= 10 => {
                *largest = lossy_pixels(array::<10>(input)?).max(*largest);
                10
            }
            b"ANMF" if films && length >= 16 => {
                input.seek_relative(16)?;
                webp_frames(input, length - 16, false, largest)?;
                length
            }
            _ => 0,
        };
        input.seek_relative(length - seen)?;
    }
    input.seek_relative(left)
}

/// Width and height come after a tag and a start code; the upper bits of each say how
/// to enlarge it.
fn lossy_pixels([.., a, b, c, d]: [u8; 10]) -> u64 {
    let side = |bytes| u64::from(u16::from_le_bytes(bytes) & 0x3fff);
    side([a, b]) * side([c, d])
}

/// The beginning of EXIF data: the orientation is among its first entries.
fn first_entries(input: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let mut exif = Vec::new();
    input.take(u64::from(length.min(1 << 16))).read_to_end(&mut exif)?;
    Ok(exif)
}

fn array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Bytes that the decoder of a TIFF file reserves for each number in a list in the header.
const LISTED: u64 = 32;

/// Bytes that the decoder reserves for the longest list that describes the pixels of a TIFF file,
/// according to its header; `input` is back at its start afterwards.
fn tiff_lists(input: &mut BufReader<impl Read + Seek>) -> io::Result<u64> {
    let longest = longest_list(input);
    input.rewind()?;
    match longest {
        // The directory is cut short, or not in the file: the decoder will say so.
        Err(error) if matches!(error.kind(), UnexpectedEof | InvalidInput) => Ok(0),
        longest => Ok(longest?.saturating_mul(LISTED)),
    }
}

/// Tags from this one on hold other things: profiles, metadata.
const FIRST_OTHER_TAG: u64 = 700;

/// How many numbers the longest list in the first directory holds.
fn longest_list(input: &mut (impl Read + Seek)) -> io::Result<u64> {
    let header = array::<4>(input)?;
    let small_first = header[0] == b'I';
    // BigTIFF has longer numbers.
    let wide = header.contains(&b'+');
    let width = if wide { 8 } else { 4 };
    if wide {
        input.seek(SeekFrom::Current(4))?;
    }
    let start = number(input, width, small_first)?;
    input.seek(SeekFrom::Start(start))?;
    let entries = number(input, if wide { 8 } else { 2 }, small_first)?;
    let mut longest = 0;
    for _ in 0..entries {
        let tag = number(input, 2, small_first)?;
        number(input, 2, small_first)?;
        let count = number(input, width, small_first)?;
        number(input, width, small_first)?;
        if tag < FIRST_OTHER_TAG {
            longest = longest.max(count);
        }
    }
    Ok(longest)
}

/// A number of up to 8 bytes.
fn number(input: &mut impl Read, width: usize, small_first: bool) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes[..width])?;
    if small_first {
        return Ok(u64::from_le_bytes(bytes));
    }
    bytes[..width].reverse();
    Ok(u64::from_le_bytes(bytes))
}

/// How a file asks to be turned, according to its decoder.
pub(super) fn orientation(
    decoder: &mut dyn ImageDecoder,
    format: ImageFormat,
) -> ImageResult<Orientation> {
    match format {
        ImageFormat::Tiff => decoder.orientation(),
        _ => Ok(upright_if_silent(decoder.exif_metadata()?)),
    }
}

fn upright_if_silent(exif: Option<Vec<u8>>) -> Orientation {
    let turned = |exif: Vec<u8>| {
        // Some programs put a header here that belongs only in a JPEG file.
        Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif))
    };
    exif.and_then(turned).unwrap_or(Orientation::NoTransforms)
}

/// Bytes that the decoder of a JPEG file holds besides the pixels: the coefficients of
/// all blocks if the picture comes in several passes; `input` is back at its start afterwards.
fn jpeg_passes(input: &mut BufReader<impl Read + Seek>) -> io::Result<u64> {
    let bytes = progressive_bytes(input);
    input.rewind()?;
    match bytes {
        Err(error) if error.kind() == UnexpectedEof => Ok(0),
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

/// Two bytes for each number of each component; a component's share of the pixels follows from how
/// finely it is sampled.
fn coefficient_bytes(frame: &[u8]) -> u64 {
    // Bits per number, height, width, count of components.
    let [_, sides @ .., _] = frame.first_chunk::<6>().copied().unwrap_or_default();
    let [a, b, c, d] = sides.map(u64::from);
    let samplings = frame.get(6..).unwrap_or_default().chunks_exact(3);
    let samplings: Vec<[u64; 2]> =
        samplings.map(|part| [part[1] >> 4, part[1] & 15].map(u64::from)).collect();
    let finest = |i: usize| {
        samplings.iter().map(|sampling| sampling[i]).max().unwrap_or(1).max(1)
    };
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
        // Height 512, width 256, three components, the first sampled twice as finely as the others
        // in each direction.
        let sides_and_more =
            b"\0\x11\x08\x02\0\x01\0\x03\x01\x22\0\x02\x11\0\x03\x11\0";
        assert_eq!(
            passes(&[b"\xff\xc2", &sides_and_more[..]].concat()),
            2 * 512 * 256 * 3 / 2
        );
        assert_eq!(passes(&[b"\xff\xc0", &sides_and_more[..]].concat()), 0);
        for cut in 0..sides_and_more.len() {
            passes(&[b"\xff\xc2", &sides_and_more[..cut]].concat());
        }
    }

    #[test]
    fn lists_of_a_tiff_file_take_memory() {
        let lists = |file: &[u8]| {
            tiff_lists(&mut BufReader::new(io::Cursor::new(file))).unwrap()
        };
        // A list of strip offsets (tag 273), with 1 << 24 numbers, and a profile (34675),
        // with twice as many.
        let small = b"II*\0\x08\0\0\0\x02\0\x11\x01\x04\0\0\0\0\x01\0\0\0\0\
            \x73\x87\x07\0\0\0\0\x02\0\0\0\0";
        assert_eq!(lists(small), LISTED << 24);
        let large = b"MM\0*\0\0\0\x08\0\x01\x01\x11\0\x04\x01\0\0\0\0\0\0\0";
        assert_eq!(lists(large), LISTED << 24);
        let wide = [
            &b"II+\0\x08\0\0\0"[..],
            &[16, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let wide = [wide, b"\x11\x01\x04\0\0\0\0\0\0\0\0\x7f\0\0\0\0\0\0\0\0".to_vec()]
            .concat();
        assert_eq!(lists(&wide), u64::MAX);
        for cut in 0..wide.len() {
            lists(&wide[..cut]);
        }
    }

    #[test]
    fn the_largest_frame_of_a_webp_file_is_found() {
        let chunk = |name: &[u8; 4], content: &[u8]| {
            [
                name,
                &(content.len() as u32).to_le_bytes()[..],
                content,
                &[0][..content.len() % 2],
            ]
            .concat()
        };
        let lossy = |width: u16, height: u16| {
            let sides = [width.to_le_bytes(), height.to_le_bytes()].concat();
            chunk(b"VP8 ", &[b"\0\0\0\x9d\x01\x2a".as_slice(), &sides, b"x"].concat())
        };
        let film = chunk(
            b"ANMF",
            &[&[0; 16][..], &chunk(b"ALPH", b"abc"), &lossy(300, 0x4000 | 200)]
                .concat(),
        );
        let file = [
            b"RIFF\0\0\0\0WEBP",
            &chunk(b"VP8X", b"0123456789")[..],
            &film,
            &lossy(20, 30),
        ]
        .concat();
        let frame = |file: &[u8]| {
            webp_frame(&mut BufReader::new(io::Cursor::new(file))).unwrap()
        };
        assert_eq!(frame(&file), 300 * 200);
        for cut in 0..file.len() {
            frame(&file[..cut]);
        }
    }
}
