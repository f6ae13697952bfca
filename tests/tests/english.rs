//! Phrases that trip up a reader whose native language is English, and what to write instead.

use std::path::{Path, PathBuf};

use book_tests::tree;

/// A phrase, the contexts in which it is allowed, and what to write instead.
const PHRASES: [(&str, &[&str], &str); 8] = [
    ("whoever", &[], "if you, anyone who"),
    ("beside", &[], "next to, against, apart from"),
    (
        "behind",
        &[
            "left behind",
            "leaves behind",
            "nothing behind",
            "behind the cat",
            "behind transparent",
            "behind the default feature",
        ],
        "after, below",
    ),
    ("stands for", &[], "implies, means"),
    ("goes on", &[], "continues"),
    ("is refused", &[], "is an error"),
    ("so many", &[], "this many, as many"),
    (
        "a training",
        &[
            "a training run",
            "a training program",
            "a training step",
            "a training set",
            "a training picture",
            "a training image",
            "a training prompt",
            "a training loop",
        ],
        "a training run",
    ),
];

/// Every file with English in it, except this one.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = tree::files(&root, &["rs", "md", "ipynb"]);
    files.retain(|path| !path.ends_with("tests/tests/english.rs"));
    assert!(files.len() > 100, "{files:?}");
    files
}

/// Where a phrase occurs in a text as whole words, outside the allowed contexts.
fn places(text: &str, phrase: &str, allowed: &[&str]) -> Vec<usize> {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let is_allowed = |at: usize| {
        allowed.iter().any(|context| {
            let within = context.find(phrase).expect("the phrase is in what is allowed");
            at >= within && text[at - within..].starts_with(context)
        })
    };
    let found = text.match_indices(phrase).map(|(at, _)| at);
    found
        .filter(|&at| {
            let (before, after) = (&text[..at], &text[at + phrase.len()..]);
            !is_word(before.chars().next_back())
                && !is_word(after.chars().next())
                && !is_allowed(at)
        })
        .collect()
}

#[test]
fn no_phrase_stops_the_reader() {
    let mut found = Vec::new();
    for path in files() {
        // Sentences run across the ends of lines, in comments too.
        let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
        let lines: Vec<&str> = text.lines().collect();
        for (number, pair) in lines.windows(2).enumerate() {
            let next = pair[1].trim_start().trim_start_matches(['/', '!']).trim_start();
            let both = format!("{} {next}", pair[0]);
            for (phrase, allowed, better) in PHRASES {
                let begins_here = |at: &usize| *at < pair[0].len();
                if places(&both, phrase, allowed).iter().any(begins_here) {
                    let (path, line) = (path.display(), number + 1);
                    found.push(format!("{path}:{line}: '{phrase}': write {better}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_phrase_is_found_as_words_and_not_where_it_is_allowed() {
    let behind = PHRASES[2].1;
    assert_eq!(places("the comma behind it", "behind", behind), [10]);
    assert!(places("nothing behind, left behind", "behind", behind).is_empty());
    assert!(places("besides", "beside", &[]).is_empty());
    assert!(places("read_beside()", "beside", &[]).is_empty());
    assert_eq!(places("a training that", "a training", PHRASES[7].1), [0]);
    assert!(places("a training run", "a training", PHRASES[7].1).is_empty());
}
