//! Trains models that can be told what to draw, and tells them.

mod drawing;
mod judging;
mod training;

use std::process::ExitCode;

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
    /// Draw what is asked for
    Sample(drawing::SampleArgs),
    /// Draw from the same noise with several guidance scales, a row for each
    Scales(drawing::ScalesArgs),
    /// Draw images like one of yours
    Vary(drawing::VaryArgs),
    /// Draw a part of an image of yours anew
    Inpaint(drawing::InpaintArgs),
    /// Train a classifier, to compare images by
    Classifier(judging::ClassifierArgs),
    /// Say how good a model's images are
    Evaluate(judging::EvaluateArgs),
}

fn main() -> ExitCode {
    cli::run(|program: Program| {
        match program.command {
            Command::Train(args) => return training::run(args),
            Command::Sample(args) => drawing::sample(args),
            Command::Scales(args) => drawing::scales(args),
            Command::Vary(args) => drawing::vary(args),
            Command::Inpaint(args) => drawing::inpainting(args),
            Command::Classifier(args) => judging::train_classifier(args),
            Command::Evaluate(args) => judging::evaluate(args),
        }?;
        Ok(ExitCode::SUCCESS)
    })
}
