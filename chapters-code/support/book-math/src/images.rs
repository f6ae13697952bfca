//! Images of the pages, with their sizes: a page reserves room for them, and loads them when they
//! come near the window.

use std::path::Path;

use anyhow::Context;

/// Gives the images of a page their sizes: those that begin a line (`![what one
/// sees](figures/a.png)`), which become HTML, and those of interactive figures, which are HTML
/// already. The latter also say how many pixels wide they are (`--width`), for the style of the
/// book, which enlarges them by a whole-number factor.
///
/// # Errors
/// If an image cannot be read.
pub fn with_sizes(text: &str, folder: &Path) -> anyhow::Result<String> {
    let mut page = String::new();
    for line in text.split_inclusive('\n') {
        match image(line) {
            Some((words, path, rest)) => {
                let words = words.replace('&', "&amp;").replace('"', "&quot;");
                let image = format!(
                    "<img src=\"{path}\" alt=\"{words}\"{} loading=\"lazy\">",
                    size(&folder.join(path))?
                );
                // As mdBook does it, so that a click enlarges the image.
                page += &format!(
                    "<label class=\"checkbox-label\"><input class=\"checkbox-img\" \
                    type=\"checkbox\" aria-label=\"enlarge\">{image}\
                    <span class=\"img-wrapper\">{image}</span></label>{rest}"
                );
            }
            None => page += &within_html(line, folder)?,
        }
    }
    Ok(page)
}

/// The alt text and the path of an image at the beginning of a line, and the rest of the line.
fn image(line: &str) -> Option<(&str, &str, &str)> {
    let (words, rest) = line.strip_prefix("![")?.split_once("](")?;
    let (path, rest) = rest.split_once(')')?;
    Some((words, path, rest))
}

/// A line with a size added to its image, if that image is HTML already.
fn within_html(line: &str, folder: &Path) -> anyhow::Result<String> {
    let Some((before, rest)) = line.split_once("<img src=\"") else { return Ok(line.into()) };
    let (path, rest) = rest.split_once('"').context("an image without a name")?;
    let file = folder.join(path);
    let pixels = imagesize::size(&file).with_context(|| file.display().to_string())?.width;
    let size = size(&file)?;
    let style = format!(" style=\"--width:{pixels}px\"");
    Ok(format!("{before}<img src=\"{path}\"{size}{style} loading=\"lazy\"{rest}"))
}

/// How wide and how high a picture may be, in points.
const WIDEST: usize = 700;
/// How many points wide a pixel may be.
const LARGEST: usize = 8;

/// Width and height in points, as attributes; a picture with few pixels is enlarged by a
/// whole-number factor.
fn size(path: &Path) -> anyhow::Result<String> {
    let is_vector = path.extension().is_some_and(|kind| kind == "svg");
    if is_vector {
        let svg = files::read(path)?;
        let svg = String::from_utf8_lossy(&svg);
        let of = |name: &str| {
            let value = svg.split_once(&format!(" {name}=\""))?.1.split('"').next()?;
            Some(format!(" {name}=\"{value}\""))
        };
        let size = of("width").zip(of("height"));
        return size
            .map(|(width, height)| width + &height)
            .with_context(|| format!("{} has no size", path.display()));
    }
    let size = imagesize::size(path).with_context(|| path.display().to_string())?;
    let times = (WIDEST / size.width.max(size.height)).clamp(1, LARGEST);
    Ok(format!(" width=\"{}\" height=\"{}\"", times * size.width, times * size.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_their_size() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../book");
        let page = "Text.\n\n![Cats, \"cats\"](figures/inside.png)\n*Cats.*\n\n<form>\n\
            <img src=\"figures/live-cat.png\" alt=\"A\">\n</form>\n";
        let html = with_sizes(page, &folder).unwrap();
        let inside = imagesize::size(folder.join("figures/inside.png")).unwrap();
        let expected = format!(
            "<img src=\"figures/inside.png\" alt=\"Cats, &quot;cats&quot;\" width=\"{}\" \
            height=\"{}\" loading=\"lazy\">",
            5 * inside.width,
            5 * inside.height
        );
        assert_eq!(html.matches(&expected).count(), 2, "{html}");
        assert!(html.contains("<img src=\"figures/live-cat.png\" width=\"451\" height="), "{html}");
        assert!(html.contains(" style=\"--width:451px\" loading=\"lazy\" alt=\"A\">"), "{html}");
        let svg = with_sizes("![a](figures/u_net.svg)\n", &folder).unwrap();
        assert!(svg.contains(" width=\"520\" height="), "{svg}");
        assert!(html.starts_with("Text.\n\n<label") && html.contains("</label>\n*Cats.*\n"));
        assert!(with_sizes("![a](figures/none.png)\n", &folder).is_err());
    }
}
