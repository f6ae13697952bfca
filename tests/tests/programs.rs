//! The programs as a reader runs them: they write what they should, say so when something is wrong,
//! and lose nothing when a training run is killed.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use book_tests::programs::{command, contents, differences, fail, succeed};

const TINY: [&str; 16] = [
    "--preset",
    "tiny",
    "--num-timesteps",
    "20",
    "--batch-size",
    "8",
    "--samples",
    "4",
    "--sample-every",
    "1000",
    "--heldout-every",
    "20",
    "--save-every",
    "5",
    "--threads",
    "2",
];

fn train(folder: &Path, out: &str, steps: &str, more: &[&str]) -> Child {
    let args = [&["--out", out, "--steps", steps], &TINY[..], more].concat();
    command("ch05-train", folder, &args).spawn().unwrap()
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits for the first checkpoint of a training run in the background, even on a busy machine.
fn wait_for_state(folder: &Path, out: &str) {
    let patience = Instant::now();
    while !state(folder, out).exists() {
        assert!(
            patience.elapsed() < Duration::from_secs(600),
            "{out}: no checkpoint in ten minutes"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn state(folder: &Path, out: &str) -> PathBuf {
    folder.join(out).join("training/state.safetensors")
}

fn resume(folder: &Path, out: &str, steps: &str) {
    let runtime = [&TINY[6..], &["--resume", "--out", out, "--steps", steps]].concat();
    succeed("ch05-train", folder, &runtime);
}

fn assert_same(a: &Path, b: &Path) {
    assert_eq!(differences(a, b), Vec::<PathBuf>::new());
}

#[test]
fn a_killed_training_ends_as_if_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    finish(train(folder, "whole", "60", &[]));
    // Killed at several moments, some of them in the middle of saving.
    let mut killed = 0;
    for delay in [0, 7, 31, 120] {
        let out = format!("killed-{delay}");
        let mut child = train(folder, &out, "60", &[]);
        wait_for_state(folder, &out);
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        killed += !child.wait().unwrap().success() as u32;
        resume(folder, &out, "60");
        // The next run removes what a kill in the middle of writing leaves behind.
        assert_same(&folder.join("whole"), &folder.join(&out));
    }
    assert!(killed >= 2, "most training runs must have been killed before their end");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    finish(train(folder, "two", "6", &[]));
    let one: Vec<&str> = TINY[..14]
        .iter()
        .copied()
        .chain(["--threads", "1", "--out", "one", "--steps", "6"])
        .collect();
    succeed("ch05-train", folder, &one);
    assert_same(&folder.join("two"), &folder.join("one"));
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let child = train(folder, "run", "100000", &[]);
    wait_for_state(folder, "run");
    assert!(Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap()
        .success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("cargo run -p ch05-train -- --resume --out run --steps 100000"),
        "{text}"
    );
    let table = std::fs::read_to_string(folder.join("run/training/metrics.csv")).unwrap();
    let done = table.lines().count() - 1;
    resume(folder, "run", &(done + 3).to_string());
    let table = std::fs::read_to_string(folder.join("run/training/metrics.csv")).unwrap();
    let steps: Vec<String> =
        table.lines().skip(1).map(|l| l.split(',').next().unwrap().to_string()).collect();
    assert_eq!(steps, (0..done + 3).map(|i| i.to_string()).collect::<Vec<_>>(), "one row per step");
}

#[test]
fn sampling_gives_the_same_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    finish(train(folder, "model", "6", &[]));
    let draw = |program: &str, name: &str, seed: &str, more: &[&str]| {
        let arguments = ["--model", "model", "--count", "4", "--seed", seed, "--out", name];
        succeed(program, folder, &[&arguments, more].concat());
        std::fs::read(folder.join(name)).unwrap()
    };
    let ways: [(&str, &[&str]); 4] = [
        ("ch06-sampling", &[]),
        ("ch07-ddim", &["--steps", "7"]),
        ("ch07-ddim", &["--steps", "7", "--eta", "1", "--timestep-spacing", "linspace"]),
        ("ch07-ddim", &["--steps", "7", "--solver", "dpm-solver++"]),
    ];
    let mut pictures = Vec::new();
    for (program, more) in ways {
        let first = draw(program, "a.png", "1", more);
        assert_eq!(first, draw(program, "b.png", "1", more), "{program} {more:?}");
        assert_ne!(first, draw(program, "c.png", "2", more), "{program} {more:?}");
        assert!(!pictures.contains(&first), "{program} {more:?} draws the same as another way");
        pictures.push(first);
    }
    let invert =
        ["invert", "--model", "model", "--count", "2", "--steps", "5,20", "--out", "i.png"];
    let said = succeed("ch07-ddim", folder, &invert);
    assert!(
        said.contains("5 steps: ") && said.contains("20 steps: ") && said.contains(" dB"),
        "{said}"
    );
    let compare =
        ["compare", "--model", "model", "--count", "2", "--steps", "3,6", "--out", "r.png"];
    assert!(succeed("ch07-ddim", folder, &compare).contains("6 steps: "));
    let film = [
        "interpolate",
        "--model",
        "model",
        "--count",
        "2",
        "--frames",
        "3",
        "--steps",
        "4",
        "--out",
        "f.gif",
    ];
    succeed("ch07-ddim", folder, &film);
    assert!(std::fs::read(folder.join("f.gif")).unwrap().starts_with(b"GIF89a"));
    let few = ["--model", "model", "--steps"];
    fail("ch07-ddim", folder, &[&few[..], &["21"]].concat(), 1, &["--steps 21", "20 timesteps"]);
    fail("ch07-ddim", folder, &[&few[..], &["0"]].concat(), 2, &["--steps"]);
    fail("ch07-ddim", folder, &["--model", "model", "--eta", "2"], 2, &["--eta", "from 0 to 1"]);
    let noisy = ["--model", "model", "--steps", "5", "--eta", "0.5", "--solver", "dpm-solver++"];
    fail("ch07-ddim", folder, &noisy, 1, &["--eta 0.5", "only DDIM"]);
    let extras = [
        "--model",
        "model",
        "--count",
        "2",
        "--trajectory",
        "t.gif",
        "--x0-strip",
        "x.png",
        "--variance-type",
        "fixed_large",
    ];
    succeed("ch06-sampling", folder, &extras);
    assert!(std::fs::read(folder.join("t.gif")).unwrap().starts_with(b"GIF89a"));
    assert!(std::fs::read(folder.join("x.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn chapters_1_to_4_show_what_they_promise() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = succeed("ch01-tensors", folder, &["--count", "9", "--out", "cats.png"]);
    assert!(text.contains("cats: 200000 images of 3x16x16"), "{text}");
    let text = succeed(
        "ch02-schedule",
        folder,
        &["--timesteps", "10", "--csv", "all.csv", "--out", "s.svg"],
    );
    assert!(text.contains("squaredcos_cap_v2"), "{text}");
    let table = std::fs::read_to_string(folder.join("all.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 4 * 10);
    assert!(std::fs::read_to_string(folder.join("s.svg")).unwrap().contains("<svg"));
    succeed(
        "ch03-forward",
        folder,
        &["--timesteps", "0,50,999", "--out", "n.png", "--histograms", "h.svg"],
    );
    assert!(folder.join("n.png").exists() && folder.join("h.svg").exists());
    let text = succeed("ch04-unet", folder, &["--preset", "ddpm-cifar10"]);
    assert!(text.contains("35746307"), "{text}");
}

/// One forward pass of a network that diffusers wrote, from file to file.
#[test]
fn a_directory_of_diffusers_goes_through_chapter_4() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/unet/odd_28");
    let bytes = std::fs::read(golden.join("golden.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let sample = file.tensor("sample").unwrap();
    let input = safetensors::serialize([("sample", sample)], None).unwrap();
    std::fs::write(folder.path().join("in.safetensors"), input).unwrap();
    let t =
        i64::from_le_bytes(file.tensor("timestep").unwrap().data().try_into().unwrap()).to_string();
    let args = [
        "--model",
        golden.to_str().unwrap(),
        "--input",
        "in.safetensors",
        "--timestep",
        &t,
        "--output",
        "out.safetensors",
    ];
    succeed("ch04-unet", folder.path(), &args);
    let bytes = std::fs::read(folder.path().join("out.safetensors")).unwrap();
    let out = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats = |data: &[u8]| {
        data.chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect::<Vec<f32>>()
    };
    let found = floats(out.tensor("output").unwrap().data());
    let expected = floats(file.tensor("output").unwrap().data());
    let scale = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(found.iter().zip(&expected).all(|(f, e)| (f - e).abs() < 1e-4 * scale));
}

#[test]
fn a_diverging_training_stops_and_keeps_the_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let output = train(folder, "run", "50", &["--learning-rate", "1e38", "--warmup-steps", "0"])
        .wait_with_output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the loss is") && error.contains("--learning-rate"), "{error}");
    // If there is a checkpoint already, it survives.
    finish(train(folder, "good", "5", &[]));
    let before = contents(&folder.join("good"));
    let config = folder.join("good/training/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"learning_rate\": 0.002", "\"learning_rate\": 1e38"))
        .unwrap();
    fail(
        "ch05-train",
        folder,
        &["--resume", "--out", "good", "--steps", "50", "--save-every", "1000"],
        1,
        &["the loss is", "good", "kept"],
    );
    let state = Path::new("training/state.safetensors");
    assert!(before[state] == contents(&folder.join("good"))[state]);
}

#[test]
fn bad_usage_is_answered_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for args in [
        &["--steps", "0"][..],
        &["--batch-size", "0"],
        &["--learning-rate", "-1"],
        &["--learning-rate", "nan"],
        &["--ema-decay", "1"],
        &["--dataset", "dogs"],
        &["--resume", "--seed", "3"],
        &["--prediction-type", "everything"],
    ] {
        fail("ch05-train", folder, args, 2, &[args[0]]);
    }
    fail("ch06-sampling", folder, &["--count", "0"], 2, &["--count"]);
    fail("ch02-schedule", folder, &["--timesteps", "0"], 2, &["--timesteps"]);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "nothing may be left behind");
}

/// Writes an IDX file.
fn idx(path: &Path, magic: u32, sizes: &[u32], data: &[u8]) {
    let mut bytes = magic.to_be_bytes().to_vec();
    sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
    bytes.extend(data);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn bad_data_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mnist = ["--dataset", "mnist", "--data-dir", "data", "--out", "x.png"];
    fail("ch01-tensors", folder, &["--dataset", "mnist"], 1, &["mnist", "--data-dir"]);
    fail("ch01-tensors", folder, &mnist, 1, &["train-images-idx3-ubyte", "not found", "data"]);
    std::fs::create_dir(folder.join("data")).unwrap();
    let images = folder.join("data/train-images-idx3-ubyte");
    let labels = folder.join("data/train-labels-idx1-ubyte");
    idx(&labels, 0x801, &[2], &[1, 2]);
    idx(&images, 0x801, &[2, 2, 2], &[0; 8]);
    fail(
        "ch01-tensors",
        folder,
        &mnist,
        1,
        &["train-images-idx3-ubyte", "0x00000801", "0x00000803"],
    );
    idx(&images, 0x803, &[2, 2, 2], &[0; 7]);
    fail("ch01-tensors", folder, &mnist, 1, &["train-images-idx3-ubyte", "[2, 2, 2]", "7 bytes"]);
    std::fs::write(&images, [0, 0, 8]).unwrap();
    fail("ch01-tensors", folder, &mnist, 1, &["train-images-idx3-ubyte", "3 bytes"]);
    idx(&images, 0x803, &[3, 2, 2], &[0; 12]);
    fail("ch01-tensors", folder, &mnist, 1, &["train-labels-idx1-ubyte", "2 labels", "3 images"]);
    idx(&images, 0x803, &[2, 2, 2], &[0; 8]);
    idx(&labels, 0x801, &[2], &[1, 77]);
    fail("ch01-tensors", folder, &mnist, 1, &["train-labels-idx1-ubyte", "77"]);
    std::fs::write(&images, [0x1f, 0x8b, 8, 0, 1, 2, 3]).unwrap();
    fail("ch01-tensors", folder, &mnist, 1, &["train-images-idx3-ubyte", "gzip"]);
    assert!(!folder.join("x.png").exists());
    idx(&images, 0x803, &[2, 2, 2], &[0; 8]);
    idx(&labels, 0x801, &[2], &[1, 2]);
    assert!(succeed("ch01-tensors", folder, &mnist).contains("mnist: 2 images of 1x2x2"));
    // Images that the network cannot halve.
    fail(
        "ch05-train",
        folder,
        &["--dataset", "mnist", "--data-dir", "data", "--out", "run"],
        1,
        &["sample_size", "2x2"],
    );
    assert!(!folder.join("run").exists());

    std::fs::create_dir(folder.join("cifar")).unwrap();
    std::fs::write(folder.join("cifar/data_batch_1.bin"), [0; 100]).unwrap();
    fail(
        "ch01-tensors",
        folder,
        &["--dataset", "cifar10", "--data-dir", "cifar"],
        1,
        &["data_batch_1.bin", "100 bytes", "3073"],
    );
    std::fs::create_dir(folder.join("pictures")).unwrap();
    fail(
        "ch01-tensors",
        folder,
        &["--dataset", "folder", "--data-dir", "pictures"],
        1,
        &["pictures", "no image"],
    );
    std::fs::write(folder.join("pictures/a.png"), b"not a picture").unwrap();
    fail(
        "ch01-tensors",
        folder,
        &["--dataset", "folder", "--data-dir", "pictures"],
        1,
        &["a.png", "not an image"],
    );
}

#[test]
fn bad_models_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fail(
        "ch06-sampling",
        folder,
        &["--model", "nowhere"],
        1,
        &["nowhere", "not a model directory", "ch05-train"],
    );
    finish(train(folder, "model", "5", &[]));
    let draw = ["--model", "model", "--count", "1", "--out", "x.png"];
    let weights = folder.join("model/unet/diffusion_pytorch_model.safetensors");
    let config = folder.join("model/unet/config.json");
    let scheduler = folder.join("model/scheduler/scheduler_config.json");
    let spoil = |path: &Path, change: &dyn Fn(Vec<u8>) -> Vec<u8>, words: &[&str]| {
        let good = std::fs::read(path).unwrap();
        std::fs::write(path, change(good.clone())).unwrap();
        fail("ch06-sampling", folder, &draw, 1, words);
        std::fs::write(path, good).unwrap();
    };
    let text = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{text}");
            text.replace(from, to).into_bytes()
        }
    };
    let file = "diffusion_pytorch_model.safetensors";
    spoil(&weights, &|b| b[..b.len() / 2].to_vec(), &[file, "not a safetensors file"]);
    spoil(&weights, &|_| b"hello".to_vec(), &[file, "not a safetensors file"]);
    spoil(
        &weights,
        &|mut b| {
            let n = b.len();
            b[n - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            b
        },
        &[file, "not finite"],
    );
    spoil(&config, &text("\"silu\"", "\"mish\""), &["config.json", "act_fn", "mish"]);
    spoil(
        &config,
        &text("\"UNet2DModel\"", "\"UNet2DConditionModel\""),
        &["config.json", "_class_name"],
    );
    spoil(&config, &text("\"dropout\"", "\"dropin\""), &["config.json", "dropin"]);
    spoil(
        &config,
        &text("\"in_channels\": 3", "\"in_channels\": 4"),
        &[file, "conv_in.weight", "[8, 3, 3, 3]", "[8, 4, 3, 3]"],
    );
    spoil(&config, &|b| b[..b.len() / 2].to_vec(), &["config.json"]);
    spoil(
        &scheduler,
        &text("\"squaredcos_cap_v2\"", "\"spiral\""),
        &["scheduler_config.json", "spiral"],
    );
    spoil(
        &scheduler,
        &text("\"thresholding\": false", "\"thresholding\": true"),
        &["scheduler_config.json", "thresholding"],
    );
    spoil(
        &folder.join("model/model_index.json"),
        &text("DDPMPipeline", "OtherPipeline"),
        &["model_index.json", "OtherPipeline"],
    );
    assert!(!folder.join("x.png").exists());

    // Outputs that cannot be written, and directories that are taken.
    fail(
        "ch06-sampling",
        folder,
        &["--model", "model", "--count", "1", "--out", "model/unet/config.json/x.png"],
        1,
        &["config.json"],
    );
    fail("ch05-train", folder, &["--out", "model"], 1, &["model", "already there", "--resume"]);
    fail("ch05-train", folder, &["--resume", "--out", "nowhere"], 1, &["nowhere", "no training"]);
    let state = folder.join("model/training/state.safetensors");
    let bytes = std::fs::read(&state).unwrap();
    std::fs::write(&state, &bytes[..bytes.len() - 10]).unwrap();
    fail(
        "ch05-train",
        folder,
        &["--resume", "--out", "model", "--steps", "9"],
        1,
        &["state.safetensors"],
    );
    fail("ch04-unet", folder, &["--input", "x"], 2, &["--model", "--output"]);
}
