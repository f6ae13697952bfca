//! Figures for notebooks: what these functions return is shown under a cell if the cell ends
//! with it.

use base64::prelude::*;
use dfdx::prelude::*;
use image::RgbImage;
use ops::{Images, UNetDevice};

use crate::{image_grid, pixels, plots, Axes, Series};

/// Something to look at.
#[derive(Clone, Debug)]
pub struct Figure {
    mime_type: &'static str,
    /// As notebooks store it: binary data as text.
    text: String,
}

impl Figure {
    /// The evcxr kernel calls this for a cell's last value, and reads what is between the markers.
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT {}\n{}\nEVCXR_END_CONTENT", self.mime_type, self.text);
    }
}

/// A picture.
///
/// # Panics
/// If it has no pixels.
pub fn picture(image: &RgbImage) -> Figure {
    let bytes = pixels::png(image).expect("a picture in memory can be encoded");
    Figure { mime_type: "image/png", text: BASE64_STANDARD.encode(bytes) }
}

/// A batch of images: each pixel is drawn 8 pixels wide (less where images are large), and rows
/// hold up to 8 images.
///
/// # Panics
/// If the batch is empty.
pub fn images<D: UNetDevice>(images: &Images<D>) -> Figure {
    let (count, _, height, width) = *images.shape();
    let scale = (128 / height.max(width)).clamp(1, 8);
    picture(&image_grid(images, count.min(8), scale))
}

/// An animation of frames of one size, each shown for `milliseconds`.
///
/// # Panics
/// If there are no frames, or their sizes differ.
pub fn film(frames: &[RgbImage], milliseconds: u32) -> Figure {
    assert!(!frames.is_empty(), "a film needs frames");
    assert!(
        frames.iter().all(|f| f.dimensions() == frames[0].dimensions()),
        "frames of one size are needed"
    );
    let bytes = pixels::gif(frames, milliseconds).expect("an animation in memory can be encoded");
    // As HTML, because not everything that shows notebooks supports image/gif.
    let text = format!("<img src=\"data:image/gif;base64,{}\">", BASE64_STANDARD.encode(bytes));
    Figure { mime_type: "text/html", text }
}

/// Curves.
///
/// # Panics
/// If there is nothing finite to draw.
pub fn curves(axes: &Axes, series: &[Series]) -> Figure {
    let text = plots::line_svg(axes, series).expect("curves in memory can be drawn");
    Figure { mime_type: "image/svg+xml", text }
}
