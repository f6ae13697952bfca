//! Draws each interactive figure with the settings of its page: the picture that is there
//! before the reader touches it.

use std::fs::File;

use anyhow::Context;
use book_tests::book::pages;
use book_tests::forms::{forms, hold};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};

fn main() -> anyhow::Result<()> {
    for form in pages().iter().flat_map(|page| forms(&page.text)) {
        hold(form.model.as_deref())?;
        let frames = live::frames(&form.settings()[0])?.map(|frame| frame.picture);
        let pictures: Vec<RgbaImage> = frames.collect();
        let last = pictures.last().context("a figure draws something")?;
        // For a film, also a still picture, for readers who have asked for less motion.
        last.save(form.picture.replace(".gif", ".png"))?;
        if form.picture.ends_with(".gif") {
            save_film(&form.picture, pictures)?;
        }
    }
    Ok(())
}

/// Shows every second picture for a twelfth of a second, and the last one for three seconds.
fn save_film(path: &str, pictures: Vec<RgbaImage>) -> anyhow::Result<()> {
    let mut film = GifEncoder::new_with_speed(File::create(path)?, 10);
    film.set_repeat(Repeat::Infinite)?;
    let last = pictures.len() - 1;
    for (number, picture) in pictures.into_iter().enumerate() {
        if number % 2 == last % 2 {
            let milliseconds = if number == last { 3000 } else { 80 };
            let delay = Delay::from_numer_denom_ms(milliseconds, 1);
            film.encode_frame(Frame::from_parts(small(&picture), 0, 0, delay))?;
        }
    }
    Ok(())
}

/// A picture made up of images of 16×16 pixels, with each 4×4 block, which shows one pixel of an
/// image, reduced to a single pixel: the page makes it large again, and a film of large pictures
/// would make up most of a page's bytes. The gap between images stays one pixel wide.
fn small(picture: &RgbaImage) -> RgbaImage {
    let [side, scale] = [16, 4];
    let fewer =
        |large: u32| large - large / (side * scale + 1) * side * (scale - 1) - side * (scale - 1);
    let at = |small: u32| match (small / (side + 1), small % (side + 1)) {
        (image, pixel) if pixel == side => image * (side * scale + 1) + side * scale,
        (image, pixel) => image * (side * scale + 1) + pixel * scale,
    };
    let (width, height) = picture.dimensions();
    RgbaImage::from_fn(fewer(width), fewer(height), |x, y| *picture.get_pixel(at(x), at(y)))
}
