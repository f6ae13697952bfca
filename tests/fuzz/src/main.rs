//! Throws damaged files at every parser in the book's code.
//!
//! ```text
//! cargo run --release --manifest-path tests/fuzz/Cargo.toml -- [TARGET|all] [COUNT] [SEED]
//! ```
//!
//! sends `COUNT` inputs (by default a million) to one target or to all. An input is a valid file of
//! the target's kind (written by the book's own code, or put together byte by byte: [`targets`])
//! with one to eight changes ([`mutate`]): bits flipped, bytes and numbers replaced
//! by extremes, parts cut off, removed, repeated or put in from another file, words of the format
//! inserted. In half of the cases, checksums and lengths are corrected afterwards. The same seed
//! gives the same inputs.
//!
//! Two processes read the inputs ([`worker`]), each on one thread, and an input fails if
//! - it makes its parser panic (but an image decoder may panic where `read_image` turns the
//!   panic into an error);
//! - it takes more than one second of processor time, three times in a row;
//! - it takes more than 256 MB of memory above what was in use, as counted by the allocator
//!   ([`memory`]);
//! - it ends the process, or reading it takes more than a minute.
//!
//! An input that fails is shortened and goes to `tests/fuzz/failures/TARGET-SUM`. Once the bug is
//! fixed, the input moves to `tests/corpus/TARGET/`, which `cargo test -p book-tests --test corpus`
//! reads.
//!
//! A line is printed for each target:
//!
//! | column | meaning |
//! |---|---|
//! | inputs | how many were read |
//! | seconds | by the clock |
//! | accepted | the share that was read without an error: at 0 % or 100 % a target tests nothing |
//! | memory | the most that one input took |
//! | slowest | the most processor time that one input took |
//! | failures | how many inputs failed; the faults follow, one line for each kind |
//!
//! `--pictures FOLDER` instead reads the pictures of a folder as they are, and fails if one of the
//! pictures fails. This is for files that must not be copied.

mod campaign;
mod memory;
mod mutate;
mod targets;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::targets::Target;

/// Throw damaged files at every parser in the book's code
#[derive(Parser)]
struct Args {
    /// Which parser
    #[arg(default_value = "all")]
    target: String,
    /// How many inputs for each parser
    #[arg(default_value_t = 1_000_000)]
    count: u64,
    /// Decides which inputs are made
    #[arg(default_value_t = 1)]
    seed: u64,
    /// Read these pictures instead
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// What a process of the campaign is to do (JSON)
    #[arg(long, hide = true)]
    job: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(job) = &args.job {
        let job: worker::Job = serde_json::from_str(job)?;
        worker::work(named(&job.target)?, &job);
        return Ok(ExitCode::SUCCESS);
    }
    let passed = match &args.pictures {
        Some(folder) => worker::read_pictures(folder)?,
        None => attack(&args)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn named(name: &str) -> anyhow::Result<&'static Target> {
    targets::all().find(|target| target.name == name).with_context(|| {
        let names: Vec<&str> = targets::all().map(|target| target.name).collect();
        format!("there is no target '{name}'; the targets are: all, {}", names.join(", "))
    })
}

fn attack(args: &Args) -> anyhow::Result<bool> {
    let chosen: Vec<&Target> = match args.target.as_str() {
        "all" => targets::all().collect(),
        name => vec![named(name)?],
    };
    let failures = Path::new(env!("CARGO_MANIFEST_DIR")).join("failures");
    campaign::print_header();
    let mut passed = true;
    for target in chosen {
        passed &= campaign::attack(target, args.count, args.seed, &failures)?;
    }
    Ok(passed)
}
