//! Used by programs, examples, notebooks and `live`, never by a chapter's library. This crate gives
//! the book's figures their look: pixels become PNG and GIF; curves become SVG.
//!
//! Images come in as the chapters hold them: numbers in [-1, 1], as tensors or as slices.

#[cfg(feature = "plots")]
mod labelled;
#[cfg(feature = "plots")]
pub mod notebook;
mod pixels;
#[cfg(feature = "plots")]
mod plots;
#[cfg(feature = "plots")]
mod shades;

pub use image::{RgbImage, RgbaImage};
#[cfg(feature = "plots")]
pub use labelled::{labelled, Labelled};
pub use pixels::{
    check_film, check_grid, grid, image_grid, image_rows, natural_size, png, rgba, save_gif,
    save_png, save_transparent_png, Picture, MOST_PIXELS,
};
#[cfg(feature = "plots")]
pub use plots::{densities, line_plot, measured, spread_plot, Axes, Scale, Series, Values};
#[cfg(feature = "plots")]
pub use shades::words_style;

/// Colours that colour-blind readers can tell apart (after Okabe & Ito 2008). Each means the same
/// thing throughout the book.
pub mod palette {
    /// Clean images and the signal.
    pub const SIGNAL: (u8, u8, u8) = (0, 114, 178);
    /// Noise.
    pub const NOISE: (u8, u8, u8) = (213, 94, 0);
    /// What a network predicts.
    pub const PREDICTION: (u8, u8, u8) = (0, 158, 115);
    /// The data set.
    pub const DATA: (u8, u8, u8) = (204, 121, 167);
    /// Used in this order for series that show none of the above.
    pub const SERIES: [(u8, u8, u8); 6] =
        [SIGNAL, NOISE, PREDICTION, DATA, (230, 159, 0), (86, 180, 233)];
    /// Text and axes.
    pub const INK: (u8, u8, u8) = (128, 128, 128);
}

/// A figure that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    #[error(transparent)]
    File(#[from] files::FileError),
    #[error("cannot encode the picture")]
    Encode(#[from] image::ImageError),
    #[error("cannot draw the figure: {0}")]
    Draw(String),
    #[error(
        "the picture would be {}{width}x{height} pixels, {gigabytes:.1} GB, but at most \
        {MOST_PIXELS} pixels are drawn: ask for fewer images or a smaller scale",
        if *frames == 1 { String::new() } else { format!("{frames} frames of ") }
    )]
    TooLarge { frames: usize, width: usize, height: usize, gigabytes: f64 },
    #[error(
        "the film would be {width}x{height} pixels, but a GIF has at most {most} on a side: \
        ask for fewer images or a smaller scale"
    )]
    WideFilm { width: usize, height: usize, most: usize },
}
