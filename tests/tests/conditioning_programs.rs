//! The commands of chapter 8 as a reader runs them.
#![cfg(unix)]

use std::path::Path;

use book_tests::programs::{fail, succeed};

const PROGRAM: &str = "ch08-conditioning";
const EVALUATION: &str = "ch09-evaluation";

/// Trains for a few steps, which is enough to have a model.
fn train(folder: &Path, out: &str, steps: &str, more: &[&str]) -> String {
    let few = [
        "train",
        "--out",
        out,
        "--steps",
        steps,
        "--batch-size",
        "4",
        "--num-timesteps",
        "20",
        "--samples",
        "2",
    ];
    succeed(PROGRAM, folder, &[&few, more].concat())
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn prompts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let said = train(folder, "text", "4", &[]);
    assert!(said.contains("of cats"), "{said}");
    // A training run that was stopped continues as if it had never been stopped.
    train(folder, "again", "2", &[]);
    let resume = ["train", "--resume", "--out", "again", "--steps", "4", "--samples", "2"];
    succeed(PROGRAM, folder, &resume);
    for file in ["training/state.safetensors", "conditioning/weights.safetensors", "samples.png"] {
        assert!(
            bytes(folder, &format!("text/{file}")) == bytes(folder, &format!("again/{file}")),
            "{file}"
        );
    }

    let draw = |prompt: &str, out: &str, more: &[&str]| {
        let few = [
            "sample", "--model", "text", "--prompt", prompt, "--count", "2", "--steps", "4",
            "--out", out,
        ];
        succeed(PROGRAM, folder, &[&few, more].concat());
        bytes(folder, out)
    };
    let first = draw("a striped orange cat", "a.png", &[]);
    assert!(
        first == draw("A striped, orange cat!", "b.png", &[]),
        "the same words, the same bytes"
    );
    assert!(first != draw("a striped orange cat", "c.png", &["--guidance-scale", "5"]));
    assert!(first != draw("a striped orange cat", "d.png", &["--negative-prompt", "folded ears"]));
    assert!(first != draw("a striped orange cat", "e.png", &["--solver", "dpm-solver++"]));

    std::fs::write(folder.join("prompts.txt"), "a black cat\n\ngreen eyes\n").unwrap();
    let several =
        ["sample", "--model", "text", "--prompts", "prompts.txt", "--steps", "4", "--out", "f.png"];
    assert!(succeed(PROGRAM, folder, &several).contains("2 images"));
    let scales = [
        "scales", "--model", "text", "--prompt", "a cat", "--count", "2", "--steps", "3", "--out",
        "g.png",
    ];
    assert!(succeed(PROGRAM, folder, &scales).contains("8.0"));
    let vary = [
        "vary",
        "--model",
        "text",
        "--prompt",
        "a white cat",
        "--image",
        "a.png",
        "--count",
        "2",
        "--steps",
        "4",
    ];
    succeed(PROGRAM, folder, &vary);
    let repaint = [
        "inpaint", "--model", "text", "--image", "a.png", "--mask", "a.png", "--count", "2",
        "--steps", "4",
    ];
    succeed(PROGRAM, folder, &repaint);
    assert!(folder.join("varied.png").exists() && folder.join("inpainted.png").exists());

    // Chapter 6 draws with the model, and says which part of it is not used.
    let plain = ["--model", "text", "--count", "2", "--out", "h.png"];
    assert!(succeed("ch06-sampling", folder, &plain).contains("can be told what to draw"));

    let bad = |args: &[&str], code: i32, words: &[&str]| {
        fail(
            PROGRAM,
            folder,
            &[&["sample", "--model", "text", "--steps", "4"], args].concat(),
            code,
            words,
        );
    };
    bad(&["--prompt", "a gray cat"], 1, &["'gray'", "'grey'"]);
    bad(
        &["--prompt", "a cat a cat a cat a cat a cat a cat a cat a cat a cat"],
        1,
        &["18 words", "16"],
    );
    bad(&["--label", "3"], 1, &["--prompt"]);
    bad(&["--guidance-scale", "-1"], 2, &["--guidance-scale"]);
    std::fs::write(folder.join("prompts.txt"), "a cat\na dog\n").unwrap();
    bad(&["--prompts", "prompts.txt"], 1, &["prompts.txt, line 2", "'dog'"]);
    succeed(
        PROGRAM,
        folder,
        &["sample", "--model", "text", "--count", "1", "--steps", "4", "--out", "one.png"],
    );
    let odd =
        ["inpaint", "--model", "text", "--image", "a.png", "--mask", "one.png", "--steps", "4"];
    fail(PROGRAM, folder, &odd, 1, &["one.png", "a.png", "size"]);
    let no_image = ["vary", "--model", "text", "--image", "prompts.txt", "--steps", "4"];
    fail(PROGRAM, folder, &no_image, 1, &["prompts.txt", "not an image"]);
    std::fs::remove_dir_all(folder.join("text/conditioning")).unwrap();
    bad(&["--prompt", "a cat"], 1, &["cannot be told", "conditioning"]);
    let poor = ["train", "--out", "poor", "--preset", "tiny"];
    fail(PROGRAM, folder, &poor, 1, &["attention"]);
}

#[test]
fn classes_and_their_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder, "class", "2", &["--condition", "class"]);
    let draw = ["sample", "--model", "class", "--label", "4", "--count", "2", "--steps", "3"];
    succeed(PROGRAM, folder, &[&draw[..], &["--out", "number.png"]].concat());
    let named = ["sample", "--model", "class", "--label", "white", "--count", "2", "--steps", "3"];
    succeed(PROGRAM, folder, &[&named[..], &["--out", "name.png"]].concat());
    assert!(bytes(folder, "number.png") == bytes(folder, "name.png"), "class 4 is 'white'");
    let resume = ["train", "--resume", "--out", "class", "--steps", "3"];
    fail(PROGRAM, folder, &[&resume[..], &["--dropout", "0.2"]].concat(), 2, &["--dropout"]);
    fail(
        PROGRAM,
        folder,
        &[&resume[..], &["--condition", "text"]].concat(),
        1,
        &["--condition", "class"],
    );
    let wrong = ["sample", "--model", "class", "--label", "6", "--steps", "4"];
    fail(PROGRAM, folder, &wrong, 1, &["no class '6'", "4 'white'"]);
    let words = ["sample", "--model", "class", "--prompt", "a cat", "--steps", "4"];
    fail(PROGRAM, folder, &words, 1, &["--label"]);

    let said = succeed(
        EVALUATION,
        folder,
        &["classifier", "--steps", "2", "--batch-size", "4", "--out", "classifier"],
    );
    assert!(said.contains("held-out images"), "{said}");
    let judge = |model: &str, more: &[&str]| {
        let few = ["--model", model, "--classifier", "classifier", "--count", "8", "--seeds", "2"];
        let few = [&few[..], &["--out", "judged"]].concat();
        succeed(EVALUATION, folder, &[&few, more].concat())
    };
    let table = judge(
        "class",
        &["--steps", "2,4", "--guidance-scales", "1,3", "--samplers", "ddpm,ddim,dpm-solver++"],
    );
    // The real images, ddpm with 2 scales, and two other samplers, each with 2 step counts and 2
    // scales.
    let rows = table.lines().filter(|line| line.starts_with('|') && line.contains('.')).count();
    assert_eq!(rows, 1 + 2 + 2 * 2 * 2, "{table}");
    let report: serde_json::Value =
        serde_json::from_slice(&bytes(folder, "judged/evaluation.json")).unwrap();
    assert_eq!(report["rows"].as_array().unwrap().len(), 10);
    let columns = report["rows"][0]["columns"].as_array().unwrap();
    for name in ["precision", "recall", "beyond", "right"] {
        let column = columns.iter().find(|column| column["name"] == name);
        let column = column.unwrap_or_else(|| panic!("no {name}: {table}"));
        assert_eq!(column["unit"], "percent", "{name}");
        assert!((0.0..=1.0).contains(&column["value"]["mean"].as_f64().unwrap()), "{name}");
    }
    // The cats of a network that has learnt nothing are far from any that the data set's own code
    // can draw.
    let value = |name: &str| {
        columns.iter().find(|column| column["name"] == name).unwrap()["value"]["mean"].as_f64()
    };
    assert!(value("residual").unwrap() > 0.3 && value("AUC") == Some(1.0), "{table}");
    assert!(
        table.contains("2 seeds") && table.contains(" ± ") && table.contains("- fur: orange"),
        "{table}"
    );
    // A report that somebody has changed is read with care.
    let path = folder.join("judged/evaluation.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut changed = report.clone();
    changed["rows"][0]["columns"][0]["value"]["mean"] = 1e308.into();
    std::fs::write(&path, changed.to_string()).unwrap();
    let redraw = ["--redraw", "judged/evaluation.json", "--out", "again"];
    fail(
        EVALUATION,
        folder,
        &redraw,
        1,
        &["evaluation.json", "ddpm", "which no evaluation measures"],
    );
    std::fs::write(&path, text).unwrap();
    succeed(EVALUATION, folder, &redraw);
    for file in [
        "quality_steps.svg",
        "quality_seconds.svg",
        "quality_guidance.svg",
        "nearest.png",
        "evaluation.md",
    ] {
        assert!(folder.join("judged").join(file).exists(), "{file}");
    }
    std::fs::remove_dir_all(folder.join("class/conditioning")).unwrap();
    let table = judge("class", &["--steps", "2"]);
    assert!(!table.contains("right |"), "nothing was asked for: {table}");
    let other = ["--model", "class", "--dataset", "mnist"];
    fail(EVALUATION, folder, &other, 1, &["--data-dir"]);
}
