//! What people tell a model to draw: prompts, one per line, and the names of classes.

use ch08_conditioning::captions::Asked;
use ch08_conditioning::{words, ConditioningConfig};

use super::{accepted, network, repair, Target};

pub const TARGETS: &[Target] = &[
    Target {
        name: "prompts",
        words: &[
            b"cat",
            b"blac",
            b"striped",
            b"-",
            b"'",
            b"\xe2\x80\x99",
            b"\xf0\x9f\x90\xb1",
            b"\xcc\x88",
        ],
        repair: repair::nothing,
        seeds: || {
            vec![
                b"a black cat\n\nan orange striped cat, green eyes\n".to_vec(),
                b"A GREY cat.".to_vec(),
            ]
        },
        open: |_| {
            let text = network::text();
            Box::new(move |input| {
                let prompts = String::from_utf8_lossy(input);
                prompts.lines().filter(|line| !line.trim().is_empty()).all(|line| {
                    let known = text.vocabulary.known(line, text.max_words);
                    assert!(known.len() <= words(line).len());
                    Asked::read(line);
                    accepted(text.read(line))
                })
            })
        },
    },
    Target {
        name: "labels",
        words: &[b"cat", b"dog", b"2", b"3", b"+1", b" ", b"\xc2\xb2"],
        repair: repair::nothing,
        seeds: || ["cat", "dog", "7", "0", "2"].map(|label| label.as_bytes().to_vec()).into(),
        open: |_| {
            let classes = ConditioningConfig::Class { num_classes: 3 };
            let file = network::conditioning(classes, &["cat", "dog", "7"]);
            Box::new(move |input| accepted(file.class(&String::from_utf8_lossy(input))))
        },
    },
];
