//! Every decimal fraction and percentage in the running text of a page is one that a command of
//! the book printed, or a constant of the code that the page shows.

use std::collections::BTreeSet;
use std::path::Path;

use book_tests::book::{fences, folder, include, pages, Page};
use book_tests::tree;

/// Numbers that no command prints: the page, the number, and where it comes from.
const ELSEWHERE: [(&str, &str, &str); 3] = [
    ("ch02.md", "0.00001", "the lower end of the axis of the live figure"),
    ("introduction.md", "1.91", "the version of Rust"),
    ("ch02.md", "0.00085", "of latent diffusion, which this book does not train"),
];

/// A text without the parts between two delimiters, and without the delimiters.
fn without(text: &str, [open, close]: [&str; 2]) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, inside)) = rest.split_once(open) {
        kept += before;
        kept.push(' ');
        rest = inside.split_once(close).map_or("", |(_, after)| after);
    }
    kept + rest
}

/// What a page says in words: no listings, formulas, code, addresses or HTML.
fn prose(page: &Page) -> String {
    let delimiters =
        [["```", "```"], ["$$", "$$"], ["$", "$"], ["`", "`"], ["](", ")"], ["<", ">"]];
    delimiters.into_iter().fold(page.text.clone(), |text, pair| without(&text, pair))
}

/// The decimal fractions and percentages of a text, except section numbers.
fn measured(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_digit() || c == '.';
    let mut found = BTreeSet::new();
    let mut section = false;
    for word in text.split(|c: char| c.is_whitespace() || "()[]|*/:;–".contains(c)) {
        let number = word.trim_start_matches('-').trim_end_matches(['.', ',', '?']);
        section = word.starts_with("section") || section && (word == "and" || number.contains('.'));
        if number.parse::<f64>().is_ok() && number.contains('.') && !section {
            found.insert(number.to_string());
        }
    }
    let percent = text.match_indices(" %").map(|(at, _)| {
        let before = text[..at].rsplit(|c: char| !part(c)).next().unwrap();
        before.to_string()
    });
    found.extend(percent.filter(|number| !number.is_empty()));
    found
}

/// All numbers of a text, as they are written.
fn numbers(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_digit() || c == '.' || c == '_';
    text.split(|c| !part(c)).map(|number| number.trim_end_matches('.').to_string()).collect()
}

/// Whether a number is one of these, or one of them rounded.
fn is_among(number: &str, printed: &BTreeSet<String>) -> bool {
    let decimals = |number: &str| number.split_once('.').map_or(0, |(_, digits)| digits.len());
    let rounded = |other: &String| {
        let value: Option<f64> = other.parse().ok().filter(|_| decimals(other) > decimals(number));
        value.is_some_and(|value| format!("{value:.*}", decimals(number)) == number)
    };
    printed.contains(number) || printed.iter().any(rounded)
}

/// What commands printed: the transcripts, and the reports next to the trained models. A share may
/// also appear on a page as a percentage.
fn printed() -> BTreeSet<String> {
    let transcripts = tree::files(&folder().join("transcripts"), &["txt"]);
    let reports = tree::files(&folder().join("../chapters-code/checkpoints"), &["md", "csv"]);
    let files = transcripts.into_iter().chain(reports);
    let printed: BTreeSet<String> =
        files.flat_map(|file| numbers(&std::fs::read_to_string(file).unwrap())).collect();
    let percent = |number: &String| {
        let digits = number.strip_prefix("0.").filter(|digits| digits.len() > 2)?;
        let (whole, rest) = digits.split_at(2);
        Some(format!("{}.{rest}", whole.parse::<u32>().ok()?))
    };
    printed.iter().filter_map(percent).chain(printed.iter().cloned()).collect()
}

/// The numbers in the code of a page, and in the files from which it shows code.
fn shown(page: &Page) -> BTreeSet<String> {
    let fences = fences(&page.text);
    let own = fences.iter().flat_map(|fence| numbers(&fence.body));
    let files = fences.iter().filter_map(|fence| include(&fence.body)).map(|(file, _)| file);
    let files = files.filter(|file| Path::new(file).extension().is_some_and(|kind| kind == "rs"));
    let read = |file: &str| numbers(&std::fs::read_to_string(folder().join(file)).unwrap());
    own.chain(files.flat_map(read)).collect()
}

#[test]
fn every_measured_number_was_printed() {
    let printed = printed();
    let (mut problems, mut count, mut unused) = (Vec::new(), 0, BTreeSet::from(ELSEWHERE));
    for page in pages() {
        let shown = shown(&page);
        for number in measured(&prose(&page)) {
            count += 1;
            if is_among(&number, &printed) || shown.contains(&number) {
                continue;
            }
            let known =
                ELSEWHERE.iter().find(|(path, known, _)| (*path, *known) == (&page.path, &number));
            match known {
                Some(known) => drop(unused.remove(known)),
                None => problems.push(format!("{}: {number}", page.path)),
            }
        }
    }
    assert!(problems.is_empty(), "no command printed:\n{}", problems.join("\n"));
    assert!(unused.is_empty(), "no longer on the pages, or printed after all: {unused:?}");
    assert!(count > 100, "{count} numbers");
}

#[test]
fn a_wrong_number_is_found() {
    let text = "It is 0.0451 ± 0.0001 (96 %), see section 3.2 and 3.5. In 2,000 steps, 12.";
    let found = measured(text);
    assert_eq!(found, BTreeSet::from(["0.0451", "0.0001", "96"].map(String::from)));
    assert!(is_among("0.0451", &numbers("residual 0.04512, seed 1")));
    assert!(!is_among("0.0451", &numbers("residual 0.04516, 0.045, 1")));
}
