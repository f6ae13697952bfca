//! Measures how good a model's images are, and trains the classifiers needed for that.

mod classifier;
mod evaluate;
mod evaluator;
mod report;
mod solvers;
mod target;

use clap::Parser;

/// Measure how good a model's images are
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    evaluate: evaluate::Args,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Train a classifier, whose features are used to compare images
    Classifier(classifier::Args),
}

fn main() -> std::process::ExitCode {
    cli::run(|program: Program| match program.command {
        Some(Command::Classifier(args)) => classifier::run(args),
        None => evaluate::run(program.evaluate),
    })
}
