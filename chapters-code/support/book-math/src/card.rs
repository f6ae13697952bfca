//! What a chat app shows when somebody posts a link to a page: a picture of the book. It is left
//! out if the book does not know its own address, because such a picture needs a full address.

use std::io::Cursor;
use std::path::Path;

use anyhow::Context;
use image::imageops::{overlay, resize, FilterType};
use image::{ImageFormat, Rgb, RgbImage};

/// The file name of the picture, which lies next to the pages.
pub const FILE: &str = "card.png";
/// Pictures of this size are shown uncropped everywhere.
const SIZE: (u32, u32) = (1200, 630);

/// A figure on a white background, as a PNG; its pixels are enlarged by a whole-number factor.
///
/// # Errors
/// If the figure cannot be read.
pub fn card(figure: &Path) -> anyhow::Result<Vec<u8>> {
    let figure = image::open(figure).with_context(|| figure.display().to_string())?.into_rgb8();
    let (width, height) = figure.dimensions();
    let times = (SIZE.0 / width).min(SIZE.1 / height).max(1);
    let large = resize(&figure, times * width, times * height, FilterType::Nearest);
    let mut card = RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([255; 3]));
    let margin = |all: u32, part: u32| (i64::from(all) - i64::from(part)) / 2;
    overlay(&mut card, &large, margin(SIZE.0, large.width()), margin(SIZE.1, large.height()));
    let mut bytes = Cursor::new(Vec::new());
    card.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// The tags that name the picture, for a book at this address.
pub fn tags(address: &str) -> String {
    let address = address.trim_end_matches('/').replace('"', "&quot;");
    let (width, height) = SIZE;
    format!(
        "<div hidden><meta property=\"og:image\" content=\"{address}/{FILE}\">\
        <meta property=\"og:image:width\" content=\"{width}\">\
        <meta property=\"og:image:height\" content=\"{height}\">\
        <meta name=\"twitter:card\" content=\"summary_large_image\"></div>\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_in_the_middle_of_its_card() {
        let folder = std::env::temp_dir().join(format!("card-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("figure.png");
        RgbImage::from_fn(100, 50, |x, _| Rgb([x as u8, 0, 0])).save(&path).unwrap();
        let card = image::load_from_memory(&card(&path).unwrap()).unwrap().into_rgb8();
        assert_eq!(card.dimensions(), SIZE);
        // Twelve times as large, with 15 white rows above and below.
        for (x, y, color) in [
            (0, 14, [255; 3]),
            (0, 15, [0; 3]),
            (11, 614, [0; 3]),
            (12, 15, [1, 0, 0]),
            (1199, 300, [99, 0, 0]),
            (0, 615, [255; 3]),
        ] {
            assert_eq!(card.get_pixel(x, y).0, color, "{x}, {y}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
