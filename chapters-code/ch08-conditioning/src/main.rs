//! Trains models that can be told what to draw, and tells them.

mod training;

use clap::Parser;

/// Draw what is asked for
#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Train a conditional model; without arguments, on the cats and their captions
    Train(training::Args),
}

fn main() -> std::process::ExitCode {
    cli::run(|program: Program| match program.command {
        Command::Train(args) => training::run(args),
    })
}
