//! Running the book's programs as a reader does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// `cargo run -q -p PROGRAM -- ARGS`, in a folder.
pub fn command(program: &str, folder: &Path, args: &[&str]) -> Command {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "-q", "--manifest-path"])
        .arg(manifest)
        .args(["-p", program, "--"])
        .args(args);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(program: &str, folder: &Path, args: &[&str]) -> Output {
    command(program, folder, args).output().unwrap()
}

/// The output of a program that must succeed.
pub fn succeed(program: &str, folder: &Path, args: &[&str]) -> String {
    let output = run(program, folder, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?} failed: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program that must fail with this exit code and one sentence that contains all of `words`.
pub fn fail(program: &str, folder: &Path, args: &[&str], code: i32, words: &[&str]) {
    let output = run(program, folder, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{program} {args:?}: {error}");
    for word in words {
        assert!(error.contains(word), "{program} {args:?}: no '{word}' in: {error}");
    }
    assert!(!error.contains("panicked") && !error.contains("backtrace"), "{error}");
    if code == 1 {
        assert_eq!(error.lines().filter(|l| l.starts_with("error:")).count(), 1, "{error}");
    }
}

/// Every file below a directory, with its bytes.
pub fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = files::below(directory).unwrap();
    paths
        .into_iter()
        .map(|path| (path.clone(), files::read(directory.join(path)).unwrap()))
        .collect()
}

/// The names of the files in which two directories differ.
pub fn differences(a: &Path, b: &Path) -> Vec<PathBuf> {
    let (a, b) = (contents(a), contents(b));
    let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

/// Builds a program and returns its executable, so that signals and limits meant for the program do
/// not hit cargo.
pub fn binary(program: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    BUILT.lock().unwrap().entry(program.to_string()).or_insert_with(|| build(program)).clone()
}

fn build(program: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    // target/debug/kills, or target/debug/deps/output-0123
    let profile = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "-p", program, "--bin", program, "--manifest-path"]).arg(manifest);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success(), "{program} cannot be built");
    profile.join(program)
}
