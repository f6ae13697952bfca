//! Every number in the running text of a page (from 10 up, and every fraction and percentage) is
//! one that a command from the book printed, or a constant in the code or the formulas that the
//! page shows.

use std::collections::BTreeSet;
use std::path::Path;

use book_tests::book::{fences, folder, include, pages, Page};
use book_tests::tree;

/// Numbers that no command prints: the page, the number, and its source.
const ELSEWHERE: [(&str, &str, &str); 14] = [
    ("introduction.md", "1.91", "the version of Rust"),
    ("ch01.md", "127", "half of 255"),
    ("ch01.md", "196608", "64 · 3 · 32 · 32"),
    ("ch02.md", "0.00001", "the lower end of the axis of the live figure"),
    ("ch02.md", "100000", "the upper end of that axis"),
    ("ch02.md", "0.00085", "of latent diffusion, which this book does not train"),
    ("ch03.md", "160", "the root of 1 / 0.00004"),
    ("ch04.md", "995", "the last of every fifth timestep"),
    ("ch04.md", "35000", "2π · 10000^(15/16)"),
    ("ch05.md", "220", "the third column of the picture"),
    ("ch05.md", "620", "the seventh column of the picture"),
    ("ch05.md", "920", "the last column of the picture"),
    ("ch07.md", "249", "the noisiest timestep below 250"),
    ("faq.md", "170", "the program's own estimate, which transcripts leave out"),
];

/// A text without the parts between two delimiters, and those parts.
fn cut(text: &str, [open, close]: [&str; 2]) -> (String, String) {
    let (mut kept, mut gone, mut rest) = (String::new(), String::new(), text);
    while let Some((before, inside)) = rest.split_once(open) {
        let (part, after) = inside.split_once(close).unwrap_or((inside, ""));
        kept += &format!("{before} ");
        gone += &format!("{part} ");
        rest = after;
    }
    (kept + rest, gone)
}

/// What a page says in words, and everything else: listings, formulas, code, addresses and HTML.
fn prose(page: &Page) -> (String, String) {
    let delimiters =
        [["```", "```"], ["$$", "$$"], ["$", "$"], ["`", "`"], ["](", ")"], ["<", ">"]];
    delimiters.into_iter().fold((page.text.clone(), String::new()), |(text, rest), pair| {
        let (text, gone) = cut(&text, pair);
        (text, rest + &gone)
    })
}

/// The decimal fractions and percentages in a text, except section numbers.
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

/// The whole numbers from 10 up in a text, except years and whatever belongs to a name or an
/// address.
fn counted(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_alphanumeric() || "_,.-".contains(c);
    let words = text.split(|c| !part(c)).map(|word| word.trim_matches(['.', ',', '-']));
    let years: BTreeSet<String> = (1900..2100).map(|year: u64| year.to_string()).collect();
    let whole = words.filter(|word| !years.contains(*word)).map(|word| word.replace(',', ""));
    whole.filter(|word| word.parse::<u64>().is_ok_and(|number| number >= 10)).collect()
}

/// All numbers in a text, without thousands separators.
fn numbers(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_digit() || ".,_".contains(c);
    let whole = |word: &str| {
        let groups: Vec<&str> = word.split([',', '_']).collect();
        groups[1..].iter().all(|group| group.len() == 3).then(|| groups.concat())
    };
    let words = text.split(|c| !part(c)).map(|word| word.trim_matches(['.', ',', '_']));
    words.flat_map(|w| w.split(',').map(String::from).chain(whole(w)).collect::<Vec<_>>()).collect()
}

/// Whether a number is one of the printed ones, exactly or after rounding.
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

/// The numbers in the rest of a page, and in the files from which it shows code.
fn shown(page: &Page, rest: &str) -> BTreeSet<String> {
    let fences = fences(&page.text);
    let files = fences.iter().filter_map(|fence| include(&fence.body)).map(|(file, _)| file);
    let files = files.filter(|file| Path::new(file).extension().is_some_and(|kind| kind == "rs"));
    let read = |file: &str| numbers(&std::fs::read_to_string(folder().join(file)).unwrap());
    numbers(rest).into_iter().chain(files.flat_map(read)).collect()
}

#[test]
fn every_number_was_printed() {
    let printed = printed();
    let (mut problems, mut count, mut unused) = (Vec::new(), 0, BTreeSet::from(ELSEWHERE));
    for page in pages() {
        let (prose, rest) = prose(&page);
        let shown = shown(&page, &rest);
        for number in measured(&prose).union(&counted(&prose)) {
            count += 1;
            if is_among(number, &printed) || shown.contains(number) {
                continue;
            }
            let known =
                ELSEWHERE.iter().find(|(path, known, _)| (*path, *known) == (&page.path, number));
            match known {
                Some(known) => drop(unused.remove(known)),
                None => problems.push(format!("{}: {number}", page.path)),
            }
        }
    }
    assert!(problems.is_empty(), "no command printed:\n{}", problems.join("\n"));
    assert!(unused.is_empty(), "no longer on the pages, or printed after all: {unused:?}");
    assert!(count > 300, "{count} numbers");
}

#[test]
fn a_wrong_number_is_found() {
    let text = "It is 0.0451 ± 0.0001 (96 %), see section 3.2 and 3.5. In 2,000 steps, 12.";
    let found = measured(text);
    assert_eq!(found, BTreeSet::from(["0.0451", "0.0001", "96"].map(String::from)));
    assert_eq!(counted(text), BTreeSet::from(["12", "2000", "96"].map(String::from)));
    assert_eq!(counted("3.14, ch05.md, 2020, 8x16, 0.25"), BTreeSet::new());
    assert!(numbers("35,746,307 of 200_000; 0.05,0.06")
        .is_superset(&BTreeSet::from(["35746307", "200000", "0.05", "0.06"].map(String::from))));
    assert!(is_among("0.0451", &numbers("residual 0.04512, seed 1")));
    assert!(!is_among("0.0451", &numbers("residual 0.04516, 0.045, 1")));
}
