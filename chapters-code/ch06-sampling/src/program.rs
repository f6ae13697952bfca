//! What the programs that draw have in common.

use std::path::{Path, PathBuf};

use ch04_unet::model_dir::{self, Model};
use ops::AutoDevice;

/// The model in the directory that the program was told, or the cats that come with the book, and where it is. Says so if
/// the model can do more than is used here.
///
/// # Errors
/// If the model cannot be read.
pub fn open(device: &AutoDevice, told: Option<&Path>) -> anyhow::Result<(Model<AutoDevice>, PathBuf)> {
    let directory = cli::model_or_shipped(told, "cats");
    let model = model_dir::load(device, &directory)?;
    cli::notes(&model.notes);
    if model_dir::is_conditional(&directory) {
        cli::println!(
            "{} can be told what to draw, and is told nothing here: see cargo run -p ch08-conditioning -- sample --help",
            directory.display()
        );
    }
    Ok((model, directory))
}
