//! Running the book's programs as a reader does.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `cargo run -q -p PROGRAM -- ARGS`, in a folder.
pub fn command(program: &str, folder: &Path, args: &[&str]) -> Command {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "-q", "--manifest-path"]).arg(manifest).args(["-p", program, "--"]).args(args);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(program: &str, folder: &Path, args: &[&str]) -> Output {
    command(program, folder, args).output().unwrap()
}

/// What a program prints that must succeed.
pub fn succeed(program: &str, folder: &Path, args: &[&str]) -> String {
    let output = run(program, folder, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?} failed: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program that must fail with this exit code and one sentence that holds all of `words`.
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
