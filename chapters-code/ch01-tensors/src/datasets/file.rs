//! One image file.

use std::cell::Cell;
use std::fs::File;
use std::io::BufReader;
use std::panic::{catch_unwind, set_hook, take_hook, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};

use image::metadata::Orientation;
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits,
};

use super::color::Color;
use super::fit::fit;
use super::headers::{orientation, Headers};
use super::kind::{look, Kind, KINDS};
use super::DataError;
use crate::from_byte;

/// Pictures with more pixels than this are rejected.
const MAX_PIXELS: u64 = 64_000_000;

/// Pictures that take more bytes than this to decode are rejected.
const MAX_BYTES: u64 = 192 << 20;

/// Pictures that take more bytes than this are decoded one at a time.
const LARGE: u64 = 16 << 20;

/// An image that was read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFile {
    /// Height and width of the picture in the file, once it has been turned upright.
    pub size: [usize; 2],
    /// `channels × height × width` values in [-1, 1], cut from the middle and scaled to the size
    /// that was asked for.
    pub values: Vec<f32>,
}

/// Reads an image file (PNG, JPEG, GIF, BMP, WebP or TIFF; its content tells which) as
/// `[channels, height, width]`, with one channel (grey) or three. The picture is turned as its EXIF
/// orientation says, and transparent pixels show `ground`.
///
/// # Errors
/// If the file is missing, not an image, damaged, or too large.
///
/// # Panics
/// If `channels` is neither 1 nor 3.
pub fn read_image(
    path: &Path,
    shape: [usize; 3],
    ground: Color,
) -> Result<ImageFile, DataError> {
    let (size, bytes) = read_bytes(path, shape, ground)?;
    Ok(ImageFile { size, values: bytes.into_iter().map(from_byte).collect() })
}

/// Like [`read_image`], but with a byte per value.
pub(super) fn read_bytes(
    path: &Path,
    [channels, height, width]: [usize; 3],
    ground: Color,
) -> Result<([usize; 2], Vec<u8>), DataError> {
    let opened = Opened::new(path)?;
    let (size, orientation) = (opened.size(), opened.orientation);
    // Cut and shrunk first, then turned: turning few pixels is faster than turning many.
    let mut wanted = [height, width];
    if swaps_sides(orientation) {
        wanted.reverse();
    }
    let mut image =
        DynamicImage::from(opened.decode(path, |image| fit(image, wanted, ground))?);
    image.apply_orientation(orientation);
    let pixels = match channels {
        1 => image.into_luma8().into_raw(),
        3 => image.into_rgb8().into_raw(),
        _ => panic!("an image has 1 or 3 channels, not {channels}"),
    };
    // From pixel-by-pixel order to channel-by-channel order.
    let plane = height * width;
    Ok((
        size,
        (0..channels * plane)
            .map(|i| pixels[i % plane * channels + i / plane])
            .collect(),
    ))
}

fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate270, Rotate270FlipH, Rotate90, Rotate90FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// An image file whose header has been read.
struct Opened {
    decoder: Box<dyn ImageDecoder>,
    orientation: Orientation,
    memory: u64,
}

impl Opened {
    /// Reads the header, and checks how much memory the rest would take.
    fn new(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Read { path: path.to_path_buf(), source };
        let facts = std::fs::metadata(path).map_err(failed)?;
        if !facts.is_file() {
            return Err(DataError::bad(
                path,
                "is not a regular file: name an image file",
            ));
        }
        let mut input = BufReader::new(File::open(path).map_err(failed)?);
        let Kind::Picture(format) = look(&mut input).map_err(failed)? else {
            return Err(DataError::bad(
                path,
                format!(
                    "is not an image that can be read ({KINDS}): name another file"
                ),
            ));
        };
        if memory(format, facts.len(), 0) > MAX_BYTES {
            return Err(too_large(
                path,
                &format!("a file of {} MiB", facts.len() >> 20),
            ));
        }
        let headers = Headers::read(&mut input, format).map_err(failed)?;
        if headers.lists > MAX_BYTES {
            return Err(too_large(
                path,
                &format!("a list in its header takes {} MiB", headers.lists >> 20),
            ));
        }
        let (decoder, orientation) = quietly(path, || {
            let mut decoder = decoder(input, format)?;
            let orientation = headers
                .turned
                .map_or_else(|| orientation(decoder.as_mut(), format), Ok)?;
            Ok((decoder, orientation))
        })?;
        let pixels = decoder.total_bytes().max(headers.frame);
        let memory = memory(format, facts.len(), pixels).saturating_add(headers.passes);
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MAX_PIXELS || memory > MAX_BYTES {
            let found =
                format!("{width}x{height} pixels, {} MiB to decode", memory >> 20);
            return Err(too_large(path, &found));
        }
        Ok(Self { decoder, orientation, memory })
    }

    /// Height and width of the upright picture.
    fn size(&self) -> [usize; 2] {
        let (width, height) = self.decoder.dimensions();
        let (width, height) = (width as usize, height as usize);
        if swaps_sides(self.orientation) {
            [width, height]
        } else {
            [height, width]
        }
    }

    /// Decodes the pixels and passes them to `make`; large pictures take turns.
    fn decode<T>(
        self,
        path: &Path,
        make: impl FnOnce(&DynamicImage) -> T,
    ) -> Result<T, DataError> {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = (self.memory > LARGE)
            .then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(make(&quietly(path, || DynamicImage::from_decoder(self.decoder))?))
    }
}

fn decoder(
    input: BufReader<File>,
    format: ImageFormat,
) -> ImageResult<Box<dyn ImageDecoder>> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = ImageReader::with_format(input, format);
    reader.limits(limits);
    Ok(Box::new(reader.into_decoder()?))
}

/// Roughly how many bytes a format's decoder takes for a file of `file` bytes whose pixels fill
/// `pixels` bytes.
fn memory(format: ImageFormat, file: u64, pixels: u64) -> u64 {
    match format {
        ImageFormat::Jpeg => file.saturating_add(pixels),
        ImageFormat::WebP => file.saturating_add(pixels.saturating_mul(2)),
        ImageFormat::Gif | ImageFormat::Tiff => pixels.saturating_mul(2),
        _ => pixels,
    }
}

fn too_large(path: &Path, found: &str) -> DataError {
    let most = format!(
        "{} million pixels and {} MiB",
        MAX_PIXELS / 1_000_000,
        MAX_BYTES >> 20
    );
    DataError::bad(
        path,
        format!("is too large ({found}): make it smaller; at most {most} are read"),
    )
}

/// Runs part of a decoder. If it panics, the panic becomes an error, and nothing is
/// printed.
fn quietly<T>(
    path: &Path,
    part: impl FnOnce() -> ImageResult<T>,
) -> Result<T, DataError> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            if !QUIET.get() {
                others(info);
            }
        }));
    });
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(part));
    QUIET.set(false);
    let damaged = |why: String| {
        DataError::bad(
            path,
            format!("is not an image that can be read ({why}): repair or remove it"),
        )
    };
    match outcome {
        Ok(result) => result.map_err(|error| damaged(error.to_string())),
        Err(_) => Err(damaged("its decoder gave up".into())),
    }
}
