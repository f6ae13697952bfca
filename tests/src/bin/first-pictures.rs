//! Draws the picture that each interactive figure shows before the reader touches it, with the
//! settings of its page.

use std::fs::File;

use anyhow::Context;
use book_tests::book::pages;
use book_tests::forms::{forms, hold};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbImage, RgbaImage};

fn main() -> anyhow::Result<()> {
    for form in pages().iter().flat_map(|page| forms(&page.text)) {
        hold(form.model.as_deref())?;
        let frames = live::frames(&form.settings()[0])?.map(|frame| frame.picture);
        let pictures: Vec<RgbaImage> = frames.collect();
        let last = pictures.last().context("a figure draws something")?;
        // For a film, also a still picture, for readers who have asked for less motion.
        let still = form.picture.replace(".gif", ".png");
        match last.pixels().all(|pixel| pixel.0[3] == 255) {
            true => figures::save_png(still, &opaque(last))?,
            false => figures::save_transparent_png(still, &coarse(last))?,
        }
        if form.picture.ends_with(".gif") {
            save_film(&form.picture, pictures)?;
        }
    }
    Ok(())
}

/// The picture with only sixteen levels of each colour and of opacity. They are enough for lines
/// and points, and they halve the size of the file.
fn coarse(picture: &RgbaImage) -> RgbaImage {
    let mut coarse = picture.clone();
    coarse.iter_mut().for_each(|value| *value = value.saturating_add(8) / 17 * 17);
    coarse
}

fn opaque(picture: &RgbaImage) -> RgbImage {
    image::DynamicImage::from(picture.clone()).into_rgb8()
}

/// Shows every second picture, each for a twelfth of a second, and the last one for three seconds.
fn save_film(path: &str, pictures: Vec<RgbaImage>) -> anyhow::Result<()> {
    let mut film = GifEncoder::new_with_speed(File::create(path)?, 10);
    film.set_repeat(Repeat::Infinite)?;
    let last = pictures.len() - 1;
    for (number, picture) in pictures.into_iter().enumerate() {
        if number % 2 == last % 2 {
            let milliseconds = if number == last { 3000 } else { 80 };
            let delay = Delay::from_numer_denom_ms(milliseconds, 1);
            film.encode_frame(Frame::from_parts(picture, 0, 0, delay))?;
        }
    }
    Ok(())
}
