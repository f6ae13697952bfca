//! Pictures with words under them.

use std::path::Path;

use base64::prelude::*;
use image::RgbImage;

use crate::shades::shaded;
use crate::{pixels, FigureError};

/// Size of the letters, and their size where a page makes the drawing narrow, in points.
const SIZE: u32 = 15;
const NARROW_SIZE: f64 = 22.0;
/// The mean width of a letter, as a share of the size.
const LETTER: f64 = 0.52;
/// Height of a line of text, and the part of it that lies above the baseline.
const LINE: u32 = 20;
const ABOVE: u32 = 15;
const GAP: u32 = 12;

/// A picture and the lines under it.
pub type Labelled = (RgbImage, Vec<String>);

/// Draws rows of pictures with words under them, each pixel `scale` points wide, and writes them to
/// an SVG file.
///
/// # Errors
/// If the file cannot be written, or there is no picture.
pub fn labelled(
    path: impl AsRef<Path>,
    scale: u32,
    rows: &[Vec<Labelled>],
) -> Result<(), FigureError> {
    let narrow = format!("text{{font-size:{:.0}px;translate:0 3px}}", narrow_size(scale, rows));
    Ok(files::write(path, shaded(&labelled_svg(scale, rows)?, &narrow).as_bytes())?)
}

/// The size, from [`SIZE`] to [`NARROW_SIZE`], at which no line is wider than its picture and the
/// gap after it.
fn narrow_size(scale: u32, rows: &[Vec<Labelled>]) -> f64 {
    let fitting = rows.iter().flatten().flat_map(|(picture, lines)| {
        let room = (scale * picture.width() + GAP) as f64;
        lines.iter().map(move |line| room / (LETTER * line.chars().count() as f64))
    });
    fitting.fold(NARROW_SIZE, f64::min).max(SIZE as f64)
}

fn labelled_svg(scale: u32, rows: &[Vec<Labelled>]) -> Result<String, FigureError> {
    let (mut body, mut top, mut right) = (String::new(), GAP, 0);
    for row in rows {
        let (mut left, mut bottom) = (GAP, top);
        for (picture, lines) in row {
            let [width, height] = [picture.width(), picture.height()].map(|side| scale * side);
            let png = BASE64_STANDARD.encode(pixels::png(picture)?);
            body += &format!(
                "<image x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" \
                href=\"data:image/png;base64,{png}\"/>\n"
            );
            let middle = left + width / 2;
            for (number, line) in (0..).zip(lines) {
                let y = top + height + number * LINE + ABOVE;
                let line = escaped(line);
                body += &format!("<text x=\"{middle}\" y=\"{y}\">{line}</text>\n");
            }
            bottom = bottom.max(top + height + lines.len() as u32 * LINE);
            left += width + GAP;
        }
        right = right.max(left);
        top = bottom + GAP;
    }
    if right == 0 {
        return Err(FigureError::Draw("there is no picture".into()));
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right}\" height=\"{top}\" \
        viewBox=\"0 0 {right} {top}\">\n\
        <g font-family=\"sans-serif\" font-size=\"{SIZE}\" fill=\"#808080\" text-anchor=\"middle\" \
        style=\"image-rendering: pixelated\">\n{body}</g>\n</svg>\n"
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_has_its_words_below() {
        let picture = RgbImage::from_pixel(20, 10, image::Rgb([1, 2, 3]));
        let row = vec![(picture.clone(), vec!["a <cat>".to_string()]), (picture, Vec::new())];
        let svg = labelled_svg(5, &[row]).unwrap();
        assert!(svg.contains("width=\"236\" height=\"94\""), "{svg}");
        assert_eq!(svg.matches("<image x=").count(), 2);
        assert!(svg.contains("<text x=\"62\" y=\"77\">a &lt;cat></text>"), "{svg}");
        assert!(labelled_svg(5, &[]).is_err());
    }
}
