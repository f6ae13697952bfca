//! Pictures of every kind, each read by `read_image`.

use std::io::Cursor;
use std::path::Path;

use ch01_tensors::{read_image, Color};
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgba, RgbaImage};

use super::picture_files::{end, exif, header, pixels, png, turned};
use super::{of_file, repair, Run, Target};

pub const TARGETS: &[Target] = &[
    Target {
        name: "png",
        words: &[
            b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL", b"fcTL", b"fdAT",
            b"iCCP", b"gAMA",
        ],
        repair: |bytes| repair::png(bytes),
        seeds: png_seeds,
        open,
    },
    Target {
        name: "jpeg",
        words: &[
            b"\xff\xc0",
            b"\xff\xc2",
            b"\xff\xc4",
            b"\xff\xda",
            b"\xff\xdb",
            b"\xff\xdd",
            b"\xff\xd0",
            b"\xff\xe1",
        ],
        repair: repair::nothing,
        seeds: jpeg_seeds,
        open,
    },
    Target {
        name: "gif",
        words: &[b"\x21\xf9\x04", b"\x21\xff\x0b", b"\x2c", b"\x3b", b"GIF87a"],
        repair: repair::nothing,
        seeds: gif_seeds,
        open,
    },
    Target {
        name: "bmp",
        words: &[
            b"\x0c\0\0\0",
            b"\x28\0\0\0",
            b"\x7c\0\0\0",
            b"\x01\0",
            b"\x04\0",
            b"\x08\0",
            b"\x10\0",
            b"\x20\0",
        ],
        repair: repair::nothing,
        seeds: bmp_seeds,
        open,
    },
    Target {
        name: "webp",
        words: &[
            b"VP8 ",
            b"VP8L",
            b"VP8X",
            b"ALPH",
            b"ANIM",
            b"ANMF",
            b"EXIF",
            b"\x9d\x01\x2a",
            b"\x2f",
        ],
        repair: |bytes| webp_lengths(bytes),
        seeds: webp_seeds,
        open,
    },
    Target {
        name: "tiff",
        words: &[
            b"\x03\x01\x03\0",
            b"\x12\x01\x03\0",
            b"\x53\x01\x03\0",
            b"\x02\x01\x03\0",
            b"II+\0",
            b"\x44\x01\x04\0",
        ],
        repair: repair::nothing,
        seeds: tiff_seeds,
        open,
    },
];

/// Reads some inputs in colour, and the others in grey.
fn open(folder: &Path) -> Run {
    let path = folder.join("picture");
    let [mut colour, mut grey] = [3, 1].map(|channels| {
        let owned = path.clone();
        of_file(path.clone(), move || read_image(&owned, [channels, 6, 8], Color([10, 20, 30])))
    });
    Box::new(move |input| if input.len() % 2 == 0 { colour(input) } else { grey(input) })
}

fn picture() -> RgbaImage {
    RgbaImage::from_fn(9, 7, |x, y| Rgba([x as u8 * 28, y as u8 * 36, 90, (x * y) as u8 * 5]))
}

/// The picture, encoded in each colour type that the format supports.
fn encoded(format: ImageFormat, colours: &[fn(DynamicImage) -> DynamicImage]) -> Vec<Vec<u8>> {
    let encode = |colour: &fn(DynamicImage) -> DynamicImage| {
        let mut file = Cursor::new(Vec::new());
        colour(picture().into()).write_to(&mut file, format).expect("the picture can be encoded");
        file.into_inner()
    };
    colours.iter().map(encode).collect()
}

const RGBA: fn(DynamicImage) -> DynamicImage = |image| image;
const RGB: fn(DynamicImage) -> DynamicImage = |image| image.into_rgb8().into();
const GREY: fn(DynamicImage) -> DynamicImage = |image| image.into_luma8().into();
const GREY_ALPHA: fn(DynamicImage) -> DynamicImage = |image| image.into_luma_alpha8().into();
const DEEP: fn(DynamicImage) -> DynamicImage = |image| image.into_rgb16().into();

fn all_turned(format: &str) -> Vec<Vec<u8>> {
    let image = RGB(picture().into()).into_rgb8();
    [5, 6].map(|orientation| turned(&image, format, orientation)).into()
}

fn png_seeds() -> Vec<Vec<u8>> {
    let palette = (b"PLTE", vec![0, 0, 0, 250, 0, 0, 0, 250, 0, 0, 0, 250]);
    let (clear, rows) = ((b"tRNS", vec![0, 128]), pixels(&[0, 0b0001_1011, 0, 0b1110_0100]));
    let indexed = png(&[header(4, 2, 2, 3), palette, clear, rows, end()]);
    let (mut size, first) = (header(4, 2, 8, 0), [0, 1, 0, 3, 0, 2, 4, 0, 5, 6, 7, 8]);
    size.1[12] = 1;
    let interlaced = png(&[size, (b"eXIf", exif(8)), pixels(&first), end()]);
    let all = [
        encoded(ImageFormat::Png, &[RGBA, RGB, GREY, GREY_ALPHA, DEEP]),
        all_turned("png"),
        all_turned("late png"),
    ];
    [all.concat(), vec![indexed, interlaced]].concat()
}

fn jpeg_seeds() -> Vec<Vec<u8>> {
    [encoded(ImageFormat::Jpeg, &[RGB, GREY]), all_turned("jpeg")].concat()
}

fn gif_seeds() -> Vec<Vec<u8>> {
    let mut moving = Vec::new();
    let mut encoder = GifEncoder::new(&mut moving);
    encoder
        .encode_frames([Frame::new(picture()), Frame::new(picture())])
        .expect("the picture can be encoded");
    drop(encoder);
    [encoded(ImageFormat::Gif, &[RGBA]), vec![moving]].concat()
}

fn bmp_seeds() -> Vec<Vec<u8>> {
    [encoded(ImageFormat::Bmp, &[RGBA, RGB, GREY]), vec![compressed_bmp()]].concat()
}

/// A run-length encoded BMP file of 4×2 pixels.
fn compressed_bmp() -> Vec<u8> {
    let (colours, runs) = ([[0, 0, 0, 0], [0, 0, 250, 0]].concat(), [4, 1, 0, 0, 2, 0, 2, 1, 0, 1]);
    let start = 54 + colours.len() as u32;
    let sizes = [start + runs.len() as u32, 0, start, 40, 4, 2].map(u32::to_le_bytes).concat();
    let kind = [1, 0, 8, 0, 1, 0, 0, 0];
    let more = [runs.len() as u32, 0, 0, 2, 0].map(u32::to_le_bytes).concat();
    [b"BM".as_slice(), &sizes, &kind, &more, &colours, &runs].concat()
}

fn webp_seeds() -> Vec<Vec<u8>> {
    let plain = encoded(ImageFormat::WebP, &[RGBA, RGB]);
    let lossless = chunk(b"VP8L", &plain[0][20..]);
    let alpha = chunk(b"ALPH", &[[0].as_slice(), &[0x80; 256]].concat());
    let size = [15, 0, 0, 15, 0, 0];
    let transparent = [chunk(b"VP8X", &[&[0x10, 0, 0, 0], &size[..]].concat()), alpha, lossy()];
    // Place, size, duration, flags; then the frame's own chunks.
    let frame = [[0; 6].as_slice(), &[8, 0, 0, 6, 0, 0], &[9, 0, 0, 0], &lossless].concat();
    let moving = [
        chunk(b"VP8X", &[&[2, 0, 0, 0], &size[..]].concat()),
        chunk(b"ANIM", &[0; 6]),
        chunk(b"ANMF", &frame),
    ];
    let more = [riff(&lossy()), riff(&transparent.concat()), riff(&moving.concat())];
    [plain, all_turned("webp"), more.into()].concat()
}

fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding = if content.len() % 2 == 1 { &[0][..] } else { &[] };
    [name, &(content.len() as u32).to_le_bytes()[..], content, padding].concat()
}

fn riff(chunks: &[u8]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WEBP", chunks].concat())
}

/// A key frame of 16×16 pixels, all of them the same.
fn lossy() -> Vec<u8> {
    let (first, second) = ([0; 60], [0; 60]);
    let tag = ((first.len() as u32) << 5 | 1 << 4).to_le_bytes();
    chunk(b"VP8 ", &[&tag[..3], b"\x9d\x01\x2a\x10\0\x10\0", &first, &second].concat())
}

/// Corrects the length of the file, and that of its first chunk if this chunk is the whole file.
fn webp_lengths(bytes: &mut [u8]) {
    let length = bytes.len() as u32;
    if let (Some(rest), Some(place)) = (length.checked_sub(8), bytes.get_mut(4..8)) {
        place.copy_from_slice(&rest.to_le_bytes());
    }
    let simple = bytes.get(12..15) == Some(b"VP8") && bytes.get(15) != Some(&b'X');
    if let (true, Some(rest), Some(place)) = (simple, length.checked_sub(20), bytes.get_mut(16..20))
    {
        place.copy_from_slice(&rest.to_le_bytes());
    }
}

fn tiff_seeds() -> Vec<Vec<u8>> {
    [encoded(ImageFormat::Tiff, &[RGBA, RGB, GREY, DEEP]), all_turned("tiff")].concat()
}
