//! The pages of the book: code, figures, transcripts, links and formulas.

use std::collections::BTreeSet;

use book_math::render;
use book_tests::book::{difference, folder, makings, pages, problems_of_code, problems_of_links, Page};

/// Whether a crate tests the snippets of this page.
fn doc_tested(page: &Page) -> bool {
    let crates = std::fs::read_dir(folder().join("../chapters-code")).unwrap();
    let tests = |library: std::path::PathBuf| {
        std::fs::read_to_string(library)
            .is_ok_and(|text| text.contains(&format!("include_str!(\"../../../book/{}\")", page.path)))
    };
    crates.map(|folder| folder.unwrap().path().join("src/lib.rs")).any(tests)
}

#[test]
fn code_is_included_or_tested() {
    let problems: Vec<String> = pages().iter().flat_map(|page| problems_of_code(page, doc_tested(page))).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn links_lead_somewhere_and_pictures_are_made() {
    let figures: BTreeSet<String> = makings().into_iter().flat_map(|making| making.figures).collect();
    let pages = pages();
    let problems: Vec<String> = pages.iter().flat_map(|page| problems_of_links(page, &pages, &figures)).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn nothing_is_made_that_is_not_shown() {
    let pages = pages();
    let readme = std::fs::read_to_string(folder().join("../README.md")).unwrap();
    let shown = |name: &str| readme.contains(name) || pages.iter().any(|page| page.text.contains(name));
    for making in makings() {
        for name in making.figures.iter().chain(&making.transcript) {
            assert!(shown(name), "no page shows {name}");
        }
    }
    for kind in ["figures", "transcripts"] {
        for entry in std::fs::read_dir(folder().join(kind)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let made = makings().iter().any(|m| m.figures.contains(&name) || m.transcript.as_ref() == Some(&name));
            assert!(made, "no command makes {kind}/{name}");
        }
    }
}

/// All pages with their formulas in MathML.
fn rendered() -> Vec<book_math::Page> {
    let text = |page: &Page| book_math::Page { path: page.path.clone(), number: None, text: page.text.clone() };
    let mut pages: Vec<_> = pages().iter().map(text).collect();
    if let Err(problems) = render(&mut pages) {
        panic!("\n{}", problems.join("\n"));
    }
    pages
}

#[test]
fn formulas_parse() {
    assert!(rendered().iter().any(|page| page.text.contains("<math")));
}

/// The symbols of all formulas of a page: letters, and names of functions.
fn symbols(mathml: &str) -> BTreeSet<String> {
    let identifiers = mathml.split("<mi").skip(1).filter_map(|tail| tail.split_once('>')?.1.split_once("</mi>"));
    identifiers.map(|(symbol, _)| symbol.to_string()).collect()
}

#[test]
fn every_symbol_is_in_the_table() {
    let pages = rendered();
    let table = symbols(&pages.iter().find(|page| page.path == "symbols.md").unwrap().text);
    let missing = |page: &book_math::Page| {
        symbols(&page.text).difference(&table).map(|symbol| format!("{}: {symbol}", page.path)).collect::<Vec<_>>()
    };
    let missing: Vec<String> = pages.iter().flat_map(missing).collect();
    assert!(missing.is_empty(), "not in the table:\n{}", missing.join("\n"));
}

/// Pictures that a network drew may differ by so much of 255, and beyond that in this share of all values, because processors
/// round differently. (Measured: without vector instructions, drawing differs by 1, and a short training in 1 % of the values.)
const TOLERANCE: u8 = 24;
const BEYOND: f64 = 0.04;

#[test]
fn figures_and_transcripts_are_what_the_commands_make() {
    for making in makings() {
        let empty = tempfile::tempdir().unwrap();
        let transcript = making.run(empty.path());
        if let Some(name) = &making.transcript {
            let kept = std::fs::read_to_string(folder().join("transcripts").join(name)).unwrap();
            assert_eq!(transcript, kept, "{name} is not what the command prints");
        }
        for name in &making.figures {
            let made = std::fs::read(empty.path().join(name)).unwrap();
            let kept = std::fs::read(folder().join("figures").join(name)).unwrap();
            if making.drawn {
                let share = difference(&made, &kept, TOLERANCE);
                assert!(share <= BEYOND, "{name} differs by more than {TOLERANCE} in a share of {share:.3}");
            } else {
                assert!(made == kept, "{name} is not what the command makes");
            }
        }
    }
}
