//! The weights that come with the book: small, complete, and as their recorded commands make them.
#![cfg(unix)]

use std::path::{Path, PathBuf};

use book_tests::programs::succeed;
use serde::Deserialize;

/// How a model was made, as `training.json` next to it says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Training {
    /// The command, as run from the repository's root.
    command: String,
    seed: u64,
    steps: u64,
    /// How long the training took on two cores, alongside other work.
    hours: f64,
    /// The held-out loss at the end; classifiers have none.
    heldout_loss: Option<f64>,
    /// The losses of the first steps.
    losses: Vec<f64>,
}

const NAMES: [&str; 5] =
    ["cats", "cats-text", "mnist-class", "classifier-cats", "classifier-mnist"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../chapters-code/checkpoints")
}

fn training(name: &str) -> Training {
    let path = folder().join(name).join("training.json");
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
}

fn size(path: &Path) -> u64 {
    match path.is_dir() {
        true => std::fs::read_dir(path).unwrap().map(|entry| size(&entry.unwrap().path())).sum(),
        false => path.metadata().unwrap().len(),
    }
}

#[test]
fn all_weights_together_are_small() {
    let bytes = size(&folder());
    assert!(bytes <= 16 << 20, "{bytes} bytes are more than 16 MiB");
}

#[test]
fn every_model_says_how_it_was_made() {
    for name in NAMES {
        let training = training(name);
        assert_eq!(training.losses.len(), 200, "{name}");
        assert!(training.losses.iter().all(|loss| loss.is_finite()), "{name}");
        assert!(training.hours > 0.0 && training.steps >= 200, "{name}");
        assert!(training.command.starts_with("cargo run -p ch0"), "{name}");
        let (seed, classifier) =
            (format!("--seed {}", training.seed), name.starts_with("classifier"));
        assert!(training.seed == 0 || training.command.contains(&seed), "{name}");
        assert_eq!(training.heldout_loss.is_none(), classifier, "{name}");
        assert!(
            classifier || folder().join(name).join("evaluation.md").exists(),
            "{name} was not evaluated"
        );
    }
}

/// Runs the recorded command for `steps` steps and compares the losses. MNIST is not part of the
/// book: its models are checked only if the variable MNIST_DIR says where it is.
fn regenerates(name: &str, steps: usize) {
    let training = training(name);
    let mut words: Vec<&str> = training.command.split_whitespace().collect();
    assert_eq!(words[..3], ["cargo", "run", "-p"]);
    let mnist = std::env::var("MNIST_DIR").ok();
    if let Some(at) = words.iter().position(|word| *word == "--data-dir") {
        let Some(mnist) = &mnist else {
            println!("{name} is not checked: MNIST_DIR does not say where MNIST is");
            return;
        };
        words[at + 1] = mnist;
    }
    let few = steps.to_string();
    for (flag, value) in [("--steps", few.as_str()), ("--out", "run")] {
        match words.iter().position(|word| *word == flag) {
            Some(at) => words[at + 1] = value,
            None => words.extend([flag, value]),
        }
    }
    if !name.starts_with("classifier") {
        // The recorded steps lie before the last fifth of the training run, in which the learning
        // rate falls.
        words.extend(["--samples", "1", "--cooldown", "0"]);
    }
    let temporary = tempfile::tempdir().unwrap();
    succeed(words[3], temporary.path(), &words[5..]);
    let run = temporary.path().join("run");
    let table = ["training/metrics.csv", "metrics.csv"]
        .map(|path| run.join(path))
        .into_iter()
        .find(|p| p.exists());
    let table = std::fs::read_to_string(table.unwrap()).unwrap();
    let losses: Vec<f64> =
        table.lines().skip(1).map(|row| row.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(losses.len(), steps);
    for (step, (loss, recorded)) in losses.iter().zip(&training.losses).enumerate() {
        // Processors round differently, and a training run amplifies every difference.
        let tolerance = 1e-3 + 1e-4 * step as f64;
        let difference = (loss - recorded).abs();
        assert!(
            difference <= tolerance * recorded,
            "{name}, step {step}: {loss}, but {recorded} was recorded"
        );
    }
}

#[test]
fn recorded_commands_begin_as_recorded() {
    for name in NAMES {
        regenerates(name, 10);
    }
}

/// The same for 200 steps, which takes minutes: `cargo test -p book-tests --test checkpoints --
/// --ignored`.
#[test]
#[ignore = "takes minutes"]
fn recorded_commands_go_on_as_recorded() {
    for name in NAMES {
        regenerates(name, 200);
    }
}
