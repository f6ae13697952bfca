//! What the programs that draw have in common.

use std::path::{Path, PathBuf};

use ch04_unet::model_dir::{self, Model};
use ch04_unet::{UNet, UNetConfig};
use files::Disk;
use ops::{AutoDevice, Images, UNetDevice};

/// How many images go through a network together.
pub const BATCH: usize = 64;

/// Bytes of memory for each number that a block outputs, for each image of a batch.
const PER_FEATURE: u128 = 16;

/// Checks, before the work begins, that there is enough memory to draw `count` images
/// of this shape, at most `batch` of them together.
///
/// # Errors
/// If there is too little memory.
pub fn check_memory(
    config: &UNetConfig,
    shape: [usize; 3],
    count: usize,
    batch: usize,
) -> anyhow::Result<()> {
    if ops::CUDA {
        return Ok(()); // a GPU has its own memory
    }
    let [channels, height, width] = shape;
    let features =
        config.features([height, width]) * PER_FEATURE * count.min(batch) as u128;
    let drawn = 4 * count as u128 * (channels * height * width) as u128;
    let what = format!("drawing {count} images of {width}x{height} pixels");
    cli::memory::ensure(
        features + drawn,
        &what,
        "draw fewer images (--count) or smaller ones (--image-size)",
    )
}

/// Checks images that were drawn.
///
/// # Errors
/// If they hold a number that is not finite.
pub fn check_finite<D: UNetDevice>(images: &Images<D>) -> anyhow::Result<()> {
    anyhow::ensure!(
        images.as_vec().iter().all(|v| v.is_finite()),
        "the network's answers are not finite numbers: the model is damaged or did not learn"
    );
    Ok(())
}

/// Opens the model in the given directory or, if none is given, the cat model that comes with the
/// book. Returns the directory, too. Prints a note if the model can do more than is used here.
///
/// # Errors
/// If the model cannot be read.
pub fn open(
    device: &AutoDevice,
    told: Option<&Path>,
) -> anyhow::Result<(Model<UNet<AutoDevice>>, PathBuf)> {
    let directory = cli::model_or_shipped(told, "cats");
    let model = model_dir::load(device, &directory)?;
    cli::notes(&model.notes);
    if model_dir::is_conditional(&Disk, &directory) {
        cli::println!(
            "{} can be told what to draw, but is told nothing here: see cargo run -p \
            ch08-conditioning -- sample --help",
            directory.display()
        );
    }
    Ok((model, directory))
}
