//! Trains conditional models, and draws and changes images with them.

mod drawing;
mod train;

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
    Train(train::Args),
    /// Draw what is asked for
    Sample(drawing::SampleArgs),
    /// Draw from the same noise with several guidance scales, a row for each
    Scales(drawing::ScalesArgs),
    /// Draw images like one of yours
    Vary(drawing::VaryArgs),
    /// Draw a part of one of your images anew
    Inpaint(drawing::InpaintArgs),
}

fn main() -> ExitCode {
    cli::run(|program: Program| {
        match program.command {
            Command::Train(args) => return train::run(args),
            Command::Sample(args) => drawing::sample(args),
            Command::Scales(args) => drawing::scales(args),
            Command::Vary(args) => drawing::vary(args),
            Command::Inpaint(args) => drawing::inpainting(args),
        }?;
        Ok(ExitCode::SUCCESS)
    })
}
