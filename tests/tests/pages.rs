//! The pages of the book: code, figures, transcripts, links and formulas.

use std::collections::BTreeSet;

use book_math::render;
use book_tests::book::{
    commands, difference, figure, folder, makings, pages, problems_of_code, problems_of_links,
    terms, words, Page,
};
use book_tests::forms::{forms, hold};
use book_tests::programs::command;

/// Whether a crate tests the snippets of this page.
fn doc_tested(page: &Page) -> bool {
    let crates = std::fs::read_dir(folder().join("../chapters-code")).unwrap();
    let tests = |library: std::path::PathBuf| {
        std::fs::read_to_string(library).is_ok_and(|text| {
            text.contains(&format!("include_str!(\"../../../book/{}\")", page.path))
        })
    };
    crates.map(|folder| folder.unwrap().path().join("src/lib.rs")).any(tests)
}

#[test]
fn code_is_included_or_tested() {
    let problems: Vec<String> =
        pages().iter().flat_map(|page| problems_of_code(page, doc_tested(page))).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn links_lead_somewhere_and_pictures_are_made() {
    let figures: BTreeSet<String> =
        makings().into_iter().flat_map(|making| making.figures).collect();
    let pages = pages();
    let problems: Vec<String> =
        pages.iter().flat_map(|page| problems_of_links(page, &pages, &figures)).collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_term_of_the_glossary_is_linked_where_it_is_introduced() {
    let pages = pages();
    let glossary = pages.iter().find(|page| page.path == "symbols.md").unwrap();
    let terms = terms(&glossary.text);
    assert!(terms.len() > 20, "{terms:?}");
    let linked =
        |term: &str| pages.iter().any(|page| page.text.contains(&format!("](symbols.md#{term})")));
    let missing: Vec<_> = terms.iter().filter(|term| !linked(term)).collect();
    assert!(missing.is_empty(), "no page links to the glossary's {missing:?}");
}

#[test]
fn every_page_has_a_description() {
    let head = std::fs::read_to_string(folder().join("theme/head.hbs")).expect("the theme");
    let has_none = |page: &&Page| !head.contains(&format!("(eq path \"{}\")", page.path));
    let pages = pages();
    let missing: Vec<_> = pages.iter().filter(has_none).map(|page| &page.path).collect();
    assert!(missing.is_empty(), "theme/head.hbs does not describe {missing:?}");
}

/// What is wrong with a command. A program that is asked for help still refuses flags and values
/// that it does not know.
fn problem_of_command(line: &str) -> Option<String> {
    let words = words(line);
    let after = |flag: &str| words.iter().position(|word| *word == flag).map(|at| words[at + 1]);
    let package = after("-p")?;
    let root = folder().join("..");
    let chapters = root.join("chapters-code");
    let crates =
        [chapters.join(package), chapters.join("support").join(package), root.join("tests")];
    let Some(here) = crates.iter().find(|path| {
        let manifest = std::fs::read_to_string(path.join("Cargo.toml"));
        manifest.is_ok_and(|text| text.contains(&format!("name = \"{package}\"")))
    }) else {
        return Some(format!("there is no package {package}"));
    };
    let manifest = std::fs::read_to_string(here.join("Cargo.toml")).unwrap();
    for (flag, places) in [
        ("--example", ["examples"].as_slice()),
        ("--test", &["tests", "exercises"]),
        ("--bin", &["src/bin"]),
    ] {
        let Some(target) = after(flag) else { continue };
        let is_file =
            places.iter().any(|place| here.join(place).join(format!("{target}.rs")).is_file());
        if !is_file && !manifest.contains(&format!("name = \"{target}\"")) {
            return Some(format!("{package} has no {target}"));
        }
    }
    if words[1] != "run" || after("--example").is_some() || after("--bin").is_some() {
        return None;
    }
    let flags: Vec<&str> =
        words.iter().skip_while(|word| **word != "--").skip(1).copied().collect();
    let output = command(package, &root, &[&flags[..], &["--help"]].concat()).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn commands_are_understood() {
    let at_the_top = ["README.md", "CONTRIBUTING.md"].map(|name| Page {
        path: name.into(),
        text: std::fs::read_to_string(folder().join("..").join(name)).unwrap(),
    });
    let (mut problems, mut seen) = (Vec::new(), BTreeSet::new());
    for page in pages().iter().chain(&at_the_top) {
        for (line, command) in commands(&page.text) {
            if seen.insert(command.clone()) {
                problems.extend(
                    problem_of_command(&command)
                        .map(|p| format!("{}:{line}: {command}: {p}", page.path)),
                );
            }
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(
        problem_of_command("cargo run -p ch07-ddim -- --stepz 3").is_some(),
        "a flag that does not exist"
    );
    assert!(
        problem_of_command("cargo run -p ch07-ddim -- --eta much").is_some(),
        "a value that is not a number"
    );
    assert!(
        problem_of_command("cargo test -p ch05-train --test nothing").is_some(),
        "a test that does not exist"
    );
}

#[test]
fn nothing_is_made_that_is_not_shown() {
    let pages = pages();
    let readme = std::fs::read_to_string(folder().join("../README.md")).unwrap();
    let shown =
        |name: &str| readme.contains(name) || pages.iter().any(|page| page.text.contains(name));
    for making in makings() {
        for name in making.figures.iter().chain(&making.transcript) {
            assert!(shown(name), "no page shows {name}");
        }
    }
    for kind in ["figures", "transcripts"] {
        for entry in std::fs::read_dir(folder().join(kind)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let made = makings()
                .iter()
                .any(|m| m.figures.contains(&name) || m.transcript.as_ref() == Some(&name));
            assert!(made, "no command makes {kind}/{name}");
        }
    }
}

#[test]
fn figures_that_can_be_touched_draw_with_every_setting_that_they_offer() {
    let mut drawn = BTreeSet::new();
    for page in pages() {
        for form in forms(&page.text) {
            hold(form.model.as_deref()).unwrap();
            for settings in form.settings() {
                if !drawn.insert(settings.clone()) {
                    continue;
                }
                let frames = live::frames(&settings)
                    .unwrap_or_else(|problem| panic!("{}: {settings}: {problem:#}", page.path));
                assert!(frames.count() > 0, "{}: {settings} shows nothing", page.path);
            }
        }
    }
    assert!(drawn.len() > 20, "{drawn:?}");
}

/// All pages with their formulas in MathML.
fn rendered() -> Vec<book_math::Page> {
    let text = |page: &Page| book_math::Page {
        path: page.path.clone(),
        number: None,
        text: page.text.clone(),
    };
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

/// The symbols in all formulas of a page: letters, and names of functions.
fn symbols(mathml: &str) -> BTreeSet<String> {
    let identifiers =
        mathml.split("<mi").skip(1).filter_map(|tail| tail.split_once('>')?.1.split_once("</mi>"));
    identifiers.map(|(symbol, _)| symbol.to_string()).collect()
}

#[test]
fn every_symbol_is_in_the_table() {
    let pages = rendered();
    let table = symbols(&pages.iter().find(|page| page.path == "symbols.md").unwrap().text);
    let missing = |page: &book_math::Page| {
        symbols(&page.text)
            .difference(&table)
            .map(|symbol| format!("{}: {symbol}", page.path))
            .collect::<Vec<_>>()
    };
    let missing: Vec<String> = pages.iter().flat_map(missing).collect();
    assert!(missing.is_empty(), "not in the table:\n{}", missing.join("\n"));
}

/// Pictures that a network drew may differ by this much out of 255, and by more in this share of
/// all values, because processors round differently. (Measured: without vector instructions, drawn
/// pictures differ by 1, and those of a short training run differ in 1 % of the values.)
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
            let made = figure(&empty.path().join(name));
            let kept = std::fs::read(folder().join("figures").join(name)).unwrap();
            if making.drawn {
                let share = difference(&made, &kept, TOLERANCE);
                assert!(
                    share <= BEYOND,
                    "{name} differs by more than {TOLERANCE} in {share:.3} of its values"
                );
            } else {
                assert!(made == kept, "{name} is not what the command makes");
            }
        }
    }
}
