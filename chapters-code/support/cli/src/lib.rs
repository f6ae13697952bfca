//! Used by the programs, never by a library. This is what the programs share, so that each of them
//! can be short: one-sentence errors, outputs, signals, the device, the progress bar.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};

use clap::Parser;
use ops::AutoDevice;

pub mod memory;
mod output;
pub mod print;
pub mod progress;
pub mod signals;

pub use output::outputs;
pub use print::quoted;

/// Parses the arguments and runs `program`, which may choose an exit code. An error is printed as
/// one line; the exit code is then 1 (2 for wrong usage).
pub fn run<A: Parser, T: Termination>(program: impl FnOnce(A) -> anyhow::Result<T>) -> ExitCode {
    let answer = match A::try_parse() {
        Ok(args) => program(args).map(T::report),
        Err(answer) => {
            print::usage(&answer);
            Ok(ExitCode::from(answer.exit_code() as u8))
        }
    };
    answer.and_then(|code| print::finish().map(|()| code)).unwrap_or_else(|error| {
        print::note(format_args!("error: {}", print::one_line(&format!("{error:#}"))));
        ExitCode::FAILURE
    })
}

/// Draws the picture of a chapter's project, the last of its exercises.
#[derive(Parser)]
pub struct Project {
    /// Use your answer, from the chapter's `exercises/answers.rs`, in place of the book's
    #[arg(long)]
    pub mine: bool,
}

/// The device of this build.
///
/// # Errors
/// If there is none.
pub fn device(seed: u64) -> anyhow::Result<AutoDevice> {
    Ok(ops::open_device(seed)?)
}

/// Prints what is worth knowing about files that were read.
pub fn notes(notes: impl IntoIterator<Item = impl std::fmt::Display>) {
    notes.into_iter().for_each(|note| crate::println!("{note}"));
}

/// The directory of a model that comes with the book.
pub fn shipped(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("chapters-code/ is two levels up").join("checkpoints").join(name)
}

/// The model directory that the program was given, or else one that comes with the book; in
/// the latter case, the program says so.
pub fn model_or_shipped(told: Option<&Path>, name: &str) -> PathBuf {
    match told {
        Some(directory) => directory.to_path_buf(),
        None => {
            crate::println!("no --model was given: using '{name}', which comes with the book");
            shipped(name)
        }
    }
}

/// Starts the threads of the kernels: `threads` of them, or else as many as the processor has. This
/// thread is one of them, so that the many small kernels of a step need not be handed to another.
///
/// # Errors
/// If the threads cannot be started.
pub fn set_threads(threads: Option<usize>) -> anyhow::Result<()> {
    // To rayon, 0 means its default: as many threads as there are processors.
    Ok(rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0))
        .use_current_thread()
        .build_global()?)
}
