//! The preprocessor that `mdbook` runs: see `book.toml`.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use book_math::{math_font, render, Page};

/// Where the font goes, beside the pages; mdBook copies it into the built book.
const FONT: &str = "fonts/math.otf";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("supports") {
        // Pages for any renderer may hold HTML.
        return Ok(());
    }
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let (context, mut book) = mdbook_preprocessor::parse_input(input.as_bytes()).context("this is run by mdbook")?;
    let mut pages = Vec::new();
    book.for_each_chapter_mut(|chapter| {
        let path = chapter.path.as_deref().unwrap_or(Path::new("")).display().to_string();
        let number = chapter.number.as_ref().map(|n| n.to_string().trim_end_matches('.').to_string());
        pages.push(Page { path, number, text: std::mem::take(&mut chapter.content) });
    });
    if let Err(problems) = render(&mut pages) {
        anyhow::bail!("formulas of the book:\n{}", problems.join("\n"));
    }
    let mut pages = pages.into_iter();
    book.for_each_chapter_mut(|chapter| chapter.content = pages.next().expect("one page per chapter").text);
    write_font(&context.root.join(&context.config.book.src).join(FONT))?;
    serde_json::to_writer(std::io::stdout(), &book)?;
    Ok(())
}

/// Writes the font unless it is there: a changed file would make `mdbook serve` build again, for ever.
fn write_font(path: &Path) -> anyhow::Result<()> {
    if std::fs::read(path).is_ok_and(|bytes| bytes == math_font()) {
        return Ok(());
    }
    let folder = path.parent().expect("it is a file in a folder");
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    std::fs::write(path, math_font()).with_context(|| path.display().to_string())
}
