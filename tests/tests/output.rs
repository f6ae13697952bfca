//! What the programs do when outputs fail, readers leave, disks fill up and patience runs out.
#![cfg(unix)]

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use book_tests::programs::{binary, contents, differences};

fn start(program: &str, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary(program));
    command.args(args).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn run(program: &str, folder: &Path, line: &str) -> Output {
    start(program, folder, &words(line)).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Asserts that a program failed at its work: exit code 1 and one sentence on one line.
#[track_caller]
fn failed(output: &Output, holds: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let sentences: Vec<&str> = error.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!((sentences.len(), error.lines().last()), (1, sentences.last().copied()), "{error}");
    assert!(!error.contains(".writing-"), "{error}");
    for word in holds {
        assert!(sentences[0].contains(word), "no '{word}' in: {error}");
    }
}

const DRAWING: [(&str, &str); 9] = [
    ("ch01-tensors", "--count 2"),
    ("ch06-sampling", "--model MODEL --count 2"),
    ("ch07-ddim", "--model MODEL --count 2 --steps 2"),
    ("ch07-ddim", "compare --model MODEL --count 2 --steps 2"),
    ("ch07-ddim", "invert --model MODEL --count 2 --steps 2"),
    ("ch08-conditioning", "sample --model MODEL --count 2 --steps 2"),
    ("ch08-conditioning", "scales --model MODEL --count 2 --steps 2"),
    ("ch08-conditioning", "vary --model MODEL --image a.png --count 2 --steps 2"),
    ("ch08-conditioning", "inpaint --model MODEL --image a.png --mask a.png --count 2 --steps 2"),
];

/// There is no model, and yet the complaint is about the output.
#[test]
fn outputs_are_tried_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("taken")).unwrap();
    for (program, line) in DRAWING {
        let line = line.replace("MODEL", "nowhere");
        failed(
            &run(program, folder, &format!("{line} --out taken")),
            &["cannot write taken", "folder"],
        );
        failed(
            &run(program, folder, &format!("{line} --out x.jpg")),
            &["--out x.jpg", "PNG", ".png"],
        );
    }
    let others = [
        ("ch02-schedule", "--csv taken", "cannot write taken"),
        ("ch02-schedule", "--csv x.svg", "--csv x.svg"),
        ("ch02-schedule", "--out a --csv a", "another output"),
        ("ch03-forward", "--histograms x.png", "--histograms x.png"),
        ("ch04-unet", "--model nowhere --input x --output taken", "cannot write taken"),
        ("ch06-sampling", "--model nowhere --trajectory x.png", "--trajectory x.png"),
        ("ch07-ddim", "interpolate --model nowhere --out x.mp4", "--out x.mp4"),
        ("ch09-evaluation", "--model nowhere --out /dev/null/x", "cannot write to /dev/null/x"),
        (
            "ch05-train",
            "--dataset folder --data-dir nowhere --out /dev/null/x",
            "cannot write to /dev/null/x",
        ),
    ];
    for (program, line, word) in others {
        failed(&run(program, folder, line), &[word]);
    }
    failed(&run("ch06-sampling", folder, "--model nowhere --out new/x.png"), &["nowhere"]);
    assert_eq!(contents(folder).len(), 0);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing was made on the way");
}

#[test]
fn pictures_too_large_are_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let large = [
        ("ch01-tensors", "--count 10000 --scale 64"),
        ("ch06-sampling", "--count 10000 --scale 64"),
        ("ch06-sampling", "--count 64 --scale 64 --trajectory a.gif"),
        ("ch07-ddim", "--count 10000 --scale 64"),
        ("ch07-ddim", "interpolate --count 1000 --frames 1000 --scale 64"),
        ("ch08-conditioning", "sample --count 10000 --scale 64"),
        ("ch08-conditioning", "inpaint --image a.png --mask a.png --count 10000 --scale 64"),
    ];
    for (program, line) in &large[..6] {
        failed(&run(program, folder.path(), line), &["pixels", "GB", "fewer images"]);
    }
    succeeded(&run("ch01-tensors", folder.path(), "--count 1 --out a.png"));
    failed(&run(large[6].0, folder.path(), large[6].1), &["pixels", "GB"]);
    assert!(begun.elapsed() < Duration::from_secs(300));
    assert_eq!(contents(folder.path()).len(), 1);
}

#[test]
fn an_output_goes_where_its_path_leads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeded(&run("ch02-schedule", folder, "--out plain.svg --csv plain.csv"));
    let plain = fs::read(folder.join("plain.svg")).unwrap();

    fs::write(folder.join("private.svg"), "old").unwrap();
    fs::set_permissions(folder.join("private.svg"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("private.svg", folder.join("link.svg")).unwrap();
    succeeded(&run("ch02-schedule", folder, "--out link.svg"));
    assert!(folder.join("link.svg").is_symlink());
    assert!(fs::read(folder.join("private.svg")).unwrap() == plain);
    assert_eq!(
        fs::metadata(folder.join("private.svg")).unwrap().permissions().mode() & 0o777,
        0o600
    );

    // To a pipe, to a file, and appended to a file: the output and nothing else.
    let piped = run("ch02-schedule", folder, "--out /dev/stdout");
    assert!(piped.stdout == plain && text(&piped.stderr).contains("wrote /dev/stdout"));
    let mut into_file = start("ch02-schedule", folder, &["--out", "/dev/stdout"]);
    let file = File::create(folder.join("redirected")).unwrap();
    assert!(into_file.stdout(file).status().unwrap().success());
    assert!(fs::read(folder.join("redirected")).unwrap() == plain);
    let file = File::options().append(true).open(folder.join("redirected")).unwrap();
    assert!(into_file.stdout(file).status().unwrap().success());
    assert!(fs::read(folder.join("redirected")).unwrap() == [&plain[..], &plain].concat());
    let strip = run("ch03-forward", folder, "--timesteps 0,9 --out /dev/stdout --histograms h.svg");
    assert!(
        strip.stdout.starts_with(b"\x89PNG") && strip.stdout.ends_with(b"IEND\xae\x42\x60\x82")
    );
}

#[test]
#[cfg(target_os = "linux")]
fn full_and_closed_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    failed(&run("ch01-tensors", folder, "--count 1 --out /dev/full"), &["cannot write /dev/full"]);
    for line in ["--count 1 --out full.png", "--help"] {
        let mut command = start("ch01-tensors", folder, &words(line));
        failed(&command.stdout(full()).output().unwrap(), &["standard output"]);
    }
    // The table could not be printed, but the picture is whole.
    assert!(fs::read(folder.join("full.png")).unwrap().ends_with(b"IEND\xae\x42\x60\x82"));

    let mut child = start("ch02-schedule", folder, &["--timesteps", "100000", "--csv", "a.csv"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert!(folder.join("a.csv").exists() && folder.join("schedules.svg").exists());

    // A training run continues to its end even if nobody reads its output.
    let mut child = start("ch05-train", folder, &train("run", "6", "")).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().unwrap().success());
    assert!(folder.join("run/samples.png").exists());
    let mut no_error = start("ch05-train", folder, &train("run", "7", "--resume"));
    assert!(no_error.stderr(full()).output().unwrap().status.success());
}

const TINY: &str = "--preset tiny --num-timesteps 20 --batch-size 4";
const PACE: &str = "--samples 2 --heldout-every 20 --save-every 3 --threads 1";

/// The arguments of a training run, which is new unless `more` says `--resume`.
fn train<'a>(out: &'a str, steps: &'a str, more: &'a str) -> Vec<&'a str> {
    let tiny = if more.contains("--resume") { "" } else { TINY };
    [words(tiny), words(PACE), vec!["--out", out, "--steps", steps], words(more)].concat()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap()
        .success());
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(300), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A training run with default handling of signals, even if this process ignores some of them.
fn foreground(folder: &Path, args: &[&str]) -> Child {
    let mut command = Command::new("env");
    command
        .arg("--default-signal=INT,TERM,HUP")
        .arg(binary("ch05-train"))
        .args(args)
        .current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn state(folder: &Path, out: &str) -> PathBuf {
    folder.join(out).join("training/state.safetensors")
}

#[test]
#[cfg(target_os = "linux")]
fn signals_save_and_tell_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, code, out) in [("INT", 130, "a b"), ("TERM", 143, "it's"), ("HUP", 129, "c;d")] {
        let child = foreground(folder, &train(out, "1000000", ""));
        wait_for("no checkpoint", || state(folder, out).exists());
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        let command =
            said.lines().last().unwrap().split_once("cargo run -p ch05-train -- ").unwrap().1;
        // The shell understands what was printed.
        let program = binary("ch05-train");
        let again = format!("'{}' {command} --steps 1 --samples 1", program.display());
        let again = again.replace(" --steps 1000000", "");
        succeeded(&Command::new("sh").args(["-c", &again]).current_dir(folder).output().unwrap());
    }
    // Started so as to outlive its terminal.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(binary("ch05-train"))
        .args(train("nohup", "1000000", ""));
    let child =
        command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("no checkpoint", || state(folder, "nohup").exists());
    signal(&child, "HUP");
    let before = fs::metadata(state(folder, "nohup")).unwrap().modified().unwrap();
    wait_for("SIGHUP was not ignored", || {
        fs::metadata(state(folder, "nohup")).unwrap().modified().unwrap()
            > before + Duration::from_millis(50)
    });
    signal(&child, "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
}

/// The pictures at the end take minutes here, and so do those along the way.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_while_pictures_are_drawn_is_answered_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let slow = "--num-timesteps 100000 --samples 400";
    let long = |out: &'static str, steps: &'static str, more: &'static str| {
        let tiny = "--preset tiny --batch-size 4 --heldout-every 20 --threads 1";
        [words(tiny), words(slow), vec!["--out", out, "--steps", steps], words(more)].concat()
    };
    let stop = |args: Vec<&str>, out: &str, holds: &[&str]| {
        let mut child = foreground(folder, &args);
        wait_for("no checkpoint", || state(folder, out).exists());
        std::thread::sleep(Duration::from_millis(300));
        let asked = Instant::now();
        signal(&child, "INT");
        let code = child.wait().unwrap().code();
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(code, Some(130), "{said}");
        assert!(holds.iter().all(|word| said.contains(word)) && !said.contains("wrote"), "{said}");
    };
    stop(
        long("last", "1", ""),
        "last",
        &["saved", "last samples were not drawn", "--resume --out last --steps 1"],
    );
    stop(
        long("way", "9", "--sample-every 2"),
        "way",
        &["stopped at step 2 and saved", "--resume --out way --steps 9"],
    );
    for out in ["last", "way"] {
        let names: Vec<PathBuf> = contents(&folder.join(out)).into_keys().collect();
        assert!(names
            .iter()
            .all(|name| name.extension().is_none_or(|ending| ending != "png" && ending != "tmp")));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_picture_that_a_signal_prevented_is_drawn_later() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pictures = |steps: &'static str| train("whole", steps, "--sample-every 2");
    succeeded(&start("ch05-train", folder, &pictures("5")).output().unwrap());
    for missing in ["samples.png", "samples/step_000004.png"] {
        // A run that was killed after its checkpoint and before its picture.
        succeeded(
            &start("ch05-train", folder, &train("part", "4", "--sample-every 2")).output().unwrap(),
        );
        fs::remove_file(folder.join("part/samples.png")).unwrap();
        let rest = train("part", "5", "--resume --sample-every 2 --cooldown 0.2");
        succeeded(&start("ch05-train", folder, &rest).output().unwrap());
        assert!(folder.join("part").join(missing).exists());
        fs::remove_dir_all(folder.join("part")).unwrap();
    }
}

#[test]
fn two_trainings_do_not_share_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut first = start("ch05-train", folder, &train("run", "1000000", "")).spawn().unwrap();
    for more in ["", "--resume"] {
        wait_for("no checkpoint", || state(folder, "run").exists());
        let second = start("ch05-train", folder, &train("run", "1000000", more)).output().unwrap();
        failed(&second, &["run", "another run writes there"]);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock has died with its process.
    let table = fs::read_to_string(folder.join("run/training/metrics.csv")).unwrap();
    let steps = (table.lines().count() + 3).to_string();
    succeeded(&start("ch05-train", folder, &train("run", &steps, "--resume")).output().unwrap());
}

/// Writes an IDX file.
fn idx(path: &Path, magic: u32, sizes: &[u32], data: &[u8]) {
    let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
    let bytes: Vec<u8> =
        magic.to_be_bytes().into_iter().chain(sizes).chain(data.iter().copied()).collect();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_that_never_trained_is_not_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("data")).unwrap();
    let data = |part: &str| {
        idx(&folder.join(format!("data/{part}-images-idx3-ubyte")), 0x803, &[8, 8, 8], &[9; 512]);
        idx(&folder.join(format!("data/{part}-labels-idx1-ubyte")), 0x801, &[8], &[1; 8]);
    };
    data("train");
    let args = |out| train(out, "3", "--dataset mnist --data-dir data");
    failed(&start("ch05-train", folder, &args("runs/new/digits")).output().unwrap(), &["t10k"]);
    assert!(!folder.join("runs").exists());
    data("t10k");
    succeeded(&start("ch05-train", folder, &args("whole")).output().unwrap());

    // Killed before its first checkpoint, or even before its first file.
    for (out, left) in [("killed", Some("data.json")), ("sooner", None)] {
        fs::create_dir_all(folder.join(out).join("training")).unwrap();
        for name in left.into_iter().chain([".writing-0123456789aB.tmp"]) {
            fs::write(folder.join(out).join("training").join(name), "half").unwrap();
        }
        succeeded(&start("ch05-train", folder, &args(out)).output().unwrap());
        assert_eq!(differences(&folder.join("whole"), &folder.join(out)), Vec::<PathBuf>::new());
    }

    // Somebody's folder.
    fs::create_dir(folder.join("own")).unwrap();
    fs::write(folder.join("own/thesis.txt"), "years of work").unwrap();
    failed(
        &start("ch05-train", folder, &args("own")).output().unwrap(),
        &["own", "something else"],
    );
    assert_eq!(contents(&folder.join("own")).len(), 1);
}

/// Runs a program that may write no file longer than this many blocks of 512 bytes, as if the disk
/// were full from there on.
fn on_full_disk(program: &str, folder: &Path, args: &[&str], blocks: u32) -> Output {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f $1; shift; exec \"$@\"",
        "sh",
        &blocks.to_string(),
    ]);
    command.arg(binary(program)).args(args).current_dir(folder);
    command.stdin(Stdio::null()).output().unwrap()
}

/// Limits (in blocks), each of which lets more files be written than the one before.
const BLOCKS: [u32; 6] = [0, 1, 4, 32, 256, 2048];

#[test]
fn a_full_disk_loses_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeeded(&start("ch05-train", folder, &train("model", "1", "")).output().unwrap());
    let small = "train --condition class --steps 1 --batch-size 2 --num-timesteps 20 --samples 2 \
        --out told";
    succeeded(&run("ch08-conditioning", folder, small));
    succeeded(&run("ch09-evaluation", folder, "classifier --steps 1 --batch-size 2 --out judge"));
    let judge = "--model model --classifier judge --count 4 --steps 2,3 --out judged";
    succeeded(&run("ch09-evaluation", folder, judge));
    succeeded(&run("ch01-tensors", folder, "--count 1 --scale 1 --out a.png"));
    let input = safetensors::tensor::TensorView::new(
        safetensors::Dtype::F32,
        vec![1, 3, 16, 16],
        &[0; 3072],
    )
    .unwrap();
    fs::write(folder.join("in.safetensors"), safetensors::serialize([("x", input)], None).unwrap())
        .unwrap();
    let others = [
        ("ch02-schedule", "--csv all.csv --timesteps 100"),
        ("ch03-forward", "--timesteps 0,5"),
        ("ch04-unet", "--model model --input in.safetensors --output out.safetensors"),
        (
            "ch06-sampling",
            "--model model --count 2 --out b.png --trajectory t.gif --x0-strip s.png",
        ),
        ("ch07-ddim", "interpolate --model model --count 2 --frames 2 --steps 2"),
        ("ch09-evaluation", "--redraw judged/evaluation.json --out again"),
        ("ch09-evaluation", "classifier --steps 1 --batch-size 2 --out judge"),
    ];
    let drawing = DRAWING.map(|(program, line)| {
        let model = if program == "ch08-conditioning" { "told" } else { "model" };
        (program, format!("{line} --out picture.png").replace("MODEL", model))
    });
    let all = drawing.into_iter().chain(others.map(|(program, line)| (program, line.to_string())));
    for (program, line) in all {
        succeeded(&run(program, folder, &line));
        // A program always writes the same bytes, so old files, new files and a mixture of both are
        // equal, but a part of a file is not equal to the whole.
        let before = contents(folder);
        let mut failures = 0;
        for blocks in BLOCKS {
            let output = on_full_disk(program, folder, &words(&line), blocks);
            if !output.status.success() {
                failed(&output, &["cannot write"]);
                failures += 1;
            }
            assert!(before == contents(folder), "{program} {line}, {blocks} blocks");
        }
        assert!((1..BLOCKS.len()).contains(&failures), "{program} {line}: {failures} failures");
    }
}

#[test]
fn a_full_disk_loses_no_training() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let to_step_3 = |out: &str| {
        start("ch05-train", folder, &train(out, "3", "--sample-every 2")).output().unwrap()
    };
    let to_the_end = |out: &str| {
        let more = if state(folder, out).exists() {
            "--resume --sample-every 2"
        } else {
            "--sample-every 2"
        };
        train(out, "7", more).into_iter().map(String::from).collect::<Vec<_>>()
    };
    for begun in [false, true] {
        let prepare = |out: &str| match begun {
            true => drop(succeeded(&to_step_3(out))),
            false => fs::create_dir(folder.join(out)).unwrap(),
        };
        let finish = |out: &str, blocks: Option<u32>| {
            let args = to_the_end(out);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            match blocks {
                Some(blocks) => on_full_disk("ch05-train", folder, &args, blocks),
                None => start("ch05-train", folder, &args).output().unwrap(),
            }
        };
        let whole = format!("whole-{begun}");
        prepare(&whole);
        succeeded(&finish(&whole, None));
        let mut failures = 0;
        for blocks in BLOCKS {
            let out = format!("run-{blocks}-{begun}");
            prepare(&out);
            let output = finish(&out, Some(blocks));
            if !output.status.success() {
                failed(&output, &["cannot write"]);
                failures += 1;
            }
            let mut left = contents(&folder.join(&out)).into_keys();
            assert!(left.all(|name| name.extension().is_none_or(|ending| ending != "tmp")));
            succeeded(&finish(&out, None));
            assert_eq!(
                differences(&folder.join(&whole), &folder.join(&out)),
                Vec::<PathBuf>::new(),
                "{blocks} blocks"
            );
        }
        assert!((1..BLOCKS.len()).contains(&failures), "{failures}");
    }
}
