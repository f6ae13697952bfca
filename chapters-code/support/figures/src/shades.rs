//! Shades of the palette that can be read on a light page, and others for a dark one.

use crate::palette::{INK, NOISE, PREDICTION, SIGNAL};

type Color = (u8, u8, u8);

/// A colour, and what it becomes on a light page and on a dark one.
const SHADES: [(Color, [&str; 2]); 4] = [
    (INK, ["#606060", "#a6a6a6"]),
    (SIGNAL, ["#0072b2", "#56b4e9"]),
    (NOISE, ["#c25400", "#f0914a"]),
    (PREDICTION, ["#007f5c", "#3fc79a"]),
];

/// A drawing is narrow if the page makes it no wider than this.
const NARROW: &str = "max-width:400px";

/// A style for an SVG whose words, those within this class, take their shade from the page. If the
/// drawing is narrow, they are larger, and its lines thicker.
pub fn words_style(class: &str) -> String {
    let [light, dark] = SHADES[0].1.map(|shade| format!(".{class} text{{fill:{shade}}}"));
    let narrow = format!(
        "@media({NARROW}){{.{class} text{{font-size:20px;translate:0 2px}}\
        .{class} polyline{{stroke-width:2}}}}"
    );
    format!("<style>{light}@media(prefers-color-scheme:dark){{{dark}}}{narrow}</style>")
}

/// A drawing that takes its shades from the page (CSS Color Adjustment, `color-scheme`), and whose
/// words hide the lines that they cover. If it is narrow, it follows these rules, too.
///
/// # Panics
/// If this is not an SVG.
pub(crate) fn shaded(svg: &str, narrow: &str) -> String {
    let rules = |page: usize, background: &str| {
        let rule = |&((red, green, blue), shades): &(Color, [&str; 2])| {
            let (color, shade) = (format!("\"#{red:02X}{green:02X}{blue:02X}\""), shades[page]);
            format!("[fill={color} i]{{fill:{shade}}}[stroke={color} i]{{stroke:{shade}}}")
        };
        let words = format!("text{{stroke:{background}}}");
        words + &SHADES.iter().map(rule).collect::<String>()
    };
    let style = format!(
        "<style>text{{paint-order:stroke;stroke-width:.3em;stroke-linejoin:round}}\
        {}@media(prefers-color-scheme:dark){{{}}}@media({NARROW}){{{narrow}}}</style>",
        rules(0, "#fff"),
        rules(1, "#161923")
    );
    let start = svg.find("<svg").expect("a drawing");
    let body = start + svg[start..].find('>').expect("an element ends") + 1;
    format!("{}\n{style}{}", &svg[..body], &svg[body..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(color: &str) -> f64 {
        let value = u32::from_str_radix(&color[1..], 16).unwrap();
        let linear = |shift: u32| {
            let part = (value >> shift & 255) as f64 / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(16) + 0.7152 * linear(8) + 0.0722 * linear(0)
    }

    /// The Web Content Accessibility Guidelines ask for a contrast of 4.5 : 1 for text and 3 : 1
    /// for graphics.
    #[test]
    fn shades_can_be_read_in_every_theme() {
        // mdBook's themes light and rust; then coal, navy and ayu.
        let backgrounds =
            [(0, "#ffffff"), (0, "#e1e1db"), (1, "#141617"), (1, "#161923"), (1, "#0f1419")];
        for (page, background) in backgrounds {
            for (color, shades) in SHADES {
                let mut pair = [shades[page], background].map(luminance);
                pair.sort_by(f64::total_cmp);
                let ratio = (pair[1] + 0.05) / (pair[0] + 0.05);
                let least = if color == INK { 4.5 } else { 3.0 };
                assert!(ratio >= least, "{} on {background}: {ratio}", shades[page]);
            }
        }
    }

    #[test]
    fn a_drawing_stays_a_drawing() {
        let svg = shaded("<svg width=\"1\"><text fill=\"#808080\">a</text></svg>\n", "b{}");
        assert!(svg.starts_with("<svg width=\"1\">\n<style>text{"), "{svg}");
        assert!(svg.contains("[fill=\"#808080\" i]{fill:#606060}"), "{svg}");
        assert!(svg.contains("@media(max-width:400px){b{}}</style>"), "{svg}");
        assert!(svg.ends_with("</style><text fill=\"#808080\">a</text></svg>\n"), "{svg}");
    }
}
