//! Lines and dots, for figures that need more than the pixels of cats.

use dfdx::prelude::*;
use figures::{Picture, RgbImage, RgbaImage};
use ops::Images;
use tiny_skia::{FillRule, Paint, PathBuilder, Pixmap, PixmapPaint, Stroke, Transform};

/// A transparent picture to draw on.
pub struct Drawing(Pixmap);

impl Drawing {
    /// # Panics
    /// If it has no pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Self(Pixmap::new(width, height).expect("a drawing has pixels"))
    }

    fn paint((r, g, b): (u8, u8, u8), opacity: f32) -> Paint<'static> {
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        paint.set_color_rgba8(r, g, b, (255.0 * opacity) as u8);
        paint
    }

    /// A line through points (x, y), in pixels from the left and the top.
    pub fn line(&mut self, points: &[(f64, f64)], color: (u8, u8, u8), width: f32, opacity: f32) {
        let mut path = PathBuilder::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            match i {
                0 => path.move_to(x as f32, y as f32),
                _ => path.line_to(x as f32, y as f32),
            }
        }
        let stroke = Stroke { width, ..Stroke::default() };
        if let Some(path) = path.finish() {
            let paint = Self::paint(color, opacity);
            self.0.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
        }
    }

    pub fn dot(&mut self, (x, y): (f64, f64), radius: f32, color: (u8, u8, u8), opacity: f32) {
        if let Some(path) = PathBuilder::from_circle(x as f32, y as f32, radius) {
            let paint = Self::paint(color, opacity);
            self.0.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Draws a black frame inside a white one, around a square whose upper left corner is at (x,
    /// y).
    pub fn frame(&mut self, (x, y): (usize, usize), side: usize) {
        let (left, top, side) = (x as f64, y as f64, side as f64);
        for (color, gap) in [((0, 0, 0), 0.5), ((255, 255, 255), 1.5)] {
            let (near, far) = (-gap, side + gap);
            let corners = [(near, near), (far, near), (far, far), (near, far), (near, near)];
            self.line(&corners.map(|(x, y)| (left + x, top + y)), color, 1.0, 1.0);
        }
    }

    /// Draws a picture, with its upper left corner at (x, y).
    pub fn put(&mut self, picture: &RgbImage, x: i32, y: i32) {
        let (width, height) = picture.dimensions();
        let mut pixmap = Pixmap::new(width, height).expect("a picture has pixels");
        for (to, from) in pixmap.data_mut().chunks_exact_mut(4).zip(picture.pixels()) {
            to.copy_from_slice(&[from.0[0], from.0[1], from.0[2], 255]);
        }
        let paint = PixmapPaint::default();
        self.0.draw_pixmap(x, y, pixmap.as_ref(), &paint, Transform::identity(), None);
    }

    /// Puts images next to each other, from the left, each pixel `scale` pixels wide.
    pub fn put_row(&mut self, images: &Images<Cpu>, scale: usize, y: u32) {
        let (_, channels, height, width) = *images.shape();
        let values = images.as_vec();
        for (i, values) in values.chunks(channels * height * width).enumerate() {
            let picture = Picture { values, channels, height, width };
            let image = figures::grid(&[picture], 1, scale);
            self.put(&image, (i * width * scale) as i32, y as i32);
        }
    }

    pub fn finish(self) -> RgbaImage {
        let (width, height) = (self.0.width(), self.0.height());
        let colors = self.0.pixels().iter().map(|pixel| pixel.demultiply());
        let bytes = colors.flat_map(|c| [c.red(), c.green(), c.blue(), c.alpha()]).collect();
        RgbaImage::from_raw(width, height, bytes).expect("four bytes for every pixel")
    }
}

/// Where a value from 0 to 1 lies in a plot of this height, in pixels from the top.
pub fn plot_y(share: f64, height: u32) -> f64 {
    let (bottom, room) = (height as f64 - 10.0, height as f64 - 20.0);
    bottom - share.clamp(0.0, 1.0) * room
}
