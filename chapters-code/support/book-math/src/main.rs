//! The preprocessors that `mdbook` runs (see `book.toml`): first, with the argument `listings`, one
//! for the names of files, then one for formulas and interactive figures.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use book_math::listings::name_files;
use book_math::{card, font, images, live, render, Page};

/// The folder for the fonts; it lies next to the pages, and mdBook copies it into the built book.
const FONTS: &str = "fonts";
/// The figure on the card of the book.
const FIGURE: &str = "figures/noising.png";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    let only_listings = arguments.next_if(|argument| argument == "listings").is_some();
    if arguments.next().as_deref() == Some("supports") {
        // Yes: whatever the renderer, pages can contain HTML.
        return Ok(());
    }
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let (context, mut book) =
        mdbook_preprocessor::parse_input(input.as_bytes()).context("this is for mdbook to run")?;
    if only_listings {
        let address: Option<String> = context.config.get("preprocessor.listings.address")?;
        book.for_each_chapter_mut(|chapter| {
            chapter.content = name_files(&chapter.content, address.as_deref());
        });
        return Ok(serde_json::to_writer(std::io::stdout(), &book)?);
    }
    let mut pages = Vec::new();
    book.for_each_chapter_mut(|chapter| {
        let path = chapter.path.as_deref().unwrap_or(Path::new("")).display().to_string();
        let number =
            chapter.number.as_ref().map(|n| n.to_string().trim_end_matches('.').to_string());
        pages.push(Page { path, number, text: std::mem::take(&mut chapter.content) });
    });
    if let Err(problems) = render(&mut pages) {
        anyhow::bail!("formulas of the book:\n{}", problems.join("\n"));
    }
    let folder = context.root.join(&context.config.book.src);
    let characters = pages.iter().flat_map(|page| font::characters(&page.text)).collect();
    let fonts = folder.join(FONTS);
    live::write(&fonts.join("math.woff2"), &font::math_font(&characters)?)?;
    let characters = font::text_characters(pages.iter().map(|page| page.text.as_str()));
    for (name, file) in font::TEXT {
        live::write(&fonts.join(file), &font::text_font(name, &characters)?)?;
    }
    for page in &mut pages {
        page.text = images::with_sizes(&page.text, &folder).with_context(|| page.path.clone())?;
    }
    let address: Option<String> = context.config.get("output.html.site-url")?;
    if let Some(address) = address.filter(|address| address.starts_with("http")) {
        live::write(&folder.join(card::FILE), &card::card(&folder.join(FIGURE))?)?;
        for page in &mut pages {
            page.text.insert_str(0, &card::tags(&address));
        }
    }
    live::prepare(&context.root, &folder, pages.iter_mut().map(|page| &mut page.text))?;
    let mut pages = pages.into_iter();
    book.for_each_chapter_mut(|chapter| {
        chapter.content = pages.next().expect("one page per chapter").text
    });
    serde_json::to_writer(std::io::stdout(), &book)?;
    Ok(())
}
