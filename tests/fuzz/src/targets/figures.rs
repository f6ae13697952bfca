//! Settings of the interactive figures.

use std::path::Path;

use super::{accepted, network, repair, Run, Target};

pub const TARGETS: &[Target] = &[Target {
    name: "figures",
    words: &[
        b"\"figure\":",
        b"\"noising\"",
        b"\"ancestral\"",
        b"\"few_steps\"",
        b"\"prompt\"",
        b"\"one_step\"",
        b"\"race\"",
        b"\"words\"",
        b"\"cat\"",
        b"\"lens\"",
        b"\"training\"",
        b"\"schedule_bench\"",
        b"\"plane\"",
        b"\"noise_walk\"",
        b"\"guidance\"",
        b"\"sigmoid\"",
        b"\"t\": 999",
    ],
    repair: repair::nothing,
    seeds,
    open,
}];

fn seeds() -> Vec<Vec<u8>> {
    let settings = [
        r#"{"figure": "noising", "t": 300, "schedule": "linear", "cat": 3}"#,
        r#"{"figure": "ancestral", "seed": 1}"#,
        r#"{"figure": "few_steps", "seed": 1, "steps": 2, "eta": 0.5}"#,
        r#"{"figure": "prompt", "prompt": "a black cat", "guidance_scale": 1.5,
            "seed": 1, "steps": 2}"#,
        r#"{"figure": "one_step", "seed": 1, "noise": "none"}"#,
        r#"{"figure": "race", "seed": 1}"#,
        r#"{"figure": "words", "prompt": "a black cat", "word": 2, "seed": 1}"#,
        r#"{"figure": "cat", "fur": "blue", "pattern": "solid", "eyes": "green", "ears": "up",
            "background": "pink", "tilt": 3, "size": 1, "column": 5, "row": 7}"#,
        r#"{"figure": "training", "learning_rate": -2, "steps": 2, "seed": 1}"#,
        r#"{"figure": "schedule_bench", "schedule": "sigmoid", "first": 1, "last": 2,
            "timesteps": 20, "betas": "right"}"#,
        r#"{"figure": "plane", "data": "two moons", "steps": 3, "eta": 0.5, "show": "lines",
            "seed": 1}"#,
        r#"{"figure": "noise_walk", "from": 1, "to": 2, "place": 0.5, "along": "line"}"#,
        r#"{"figure": "guidance", "prompt": "a black cat", "negative_prompt": "green eyes",
            "guidance_scale": -1, "seed": 1}"#,
    ];
    settings.map(|settings| settings.as_bytes().to_vec()).into()
}

/// Draws with the smallest possible network in place of the book's.
fn open(_: &Path) -> Run {
    for model in ["cats", "cats-text"] {
        for (name, bytes) in network::files() {
            live::hold(Path::new(model).join(name), bytes);
        }
    }
    Box::new(|input| accepted(live::frames(&String::from_utf8_lossy(input)).map(Iterator::count)))
}
