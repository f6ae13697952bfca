//! The interactive figures: the crate `live`, built for browsers and put next to the
//! pages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

const TARGET: &str = "wasm32-unknown-unknown";
/// The folder for everything that the figures need; it lies next to the pages, and mdBook copies it
/// into the built book.
const FOLDER: &str = "live";
/// The figures' code.
const CODE: &str = "live.wasm";
const SCRIPT: &str = "\n\n<script type=\"module\" src=\"live/live.js\"></script>\n";

/// Gives every page with an interactive figure what it needs. Where the compiler cannot build for
/// browsers, the figures stay hidden.
///
/// # Errors
/// If the crate does not build, or a file cannot be read or written.
pub fn prepare<'a>(
    root: &Path,
    book: &Path,
    pages: impl Iterator<Item = &'a mut String>,
) -> anyhow::Result<()> {
    let touchable: Vec<_> = pages.filter(|page| page.contains("<form class=\"live\"")).collect();
    if touchable.is_empty() {
        return Ok(());
    }
    if !can_build(root)? {
        eprintln!(
            "the interactive figures are left out: they need `rustup target add {TARGET}` first"
        );
        return Ok(());
    }
    let folder = book.join(FOLDER);
    let source = root.join("chapters-code/support/live/page");
    for name in ["live.js", "worker.js"] {
        copy(&source.join(name), &folder.join(name))?;
    }
    copy(&build(root)?, &folder.join(CODE))?;
    write(&folder.join("code.list"), line(&folder, CODE)?.as_bytes())?;
    for page in touchable {
        for model in models(page) {
            copy_model(&root.join("chapters-code/checkpoints").join(model), &folder, model)?;
        }
        page.push_str(SCRIPT);
    }
    Ok(())
}

/// Whether the compiler has what a program for browsers needs.
fn can_build(root: &Path) -> anyhow::Result<bool> {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(root)
        .output();
    let answer = asked.context("rustc cannot be run")?.stdout;
    Ok(Path::new(String::from_utf8_lossy(&answer).trim()).is_dir())
}

/// Builds the crate `live` of the workspace at `root` for browsers, and returns the path of the
/// result.
///
/// # Errors
/// If it does not build.
pub fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let target = root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into()));
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--package",
            "live",
            "--profile",
            "browser",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&target);
    // mdBook reads what this program prints, so cargo must not print to standard output; and flags
    // meant for other builds must not reach this one.
    let command =
        command.current_dir(root).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let built = command.stdout(std::io::stderr()).status();
    anyhow::ensure!(
        built.context("cargo cannot be run")?.success(),
        "the crate `live` does not build for {TARGET}"
    );
    Ok(target.join(TARGET).join("browser/live.wasm"))
}

/// The models that a page asks for.
fn models(page: &str) -> impl Iterator<Item = &str> {
    page.split("data-model=\"").skip(1).filter_map(|rest| rest.split('"').next())
}

/// Weights in 16 bits: this halves the download, and is enough for a figure.
fn halved(weights: &[u8]) -> anyhow::Result<Vec<u8>> {
    let weights = SafeTensors::deserialize(weights)?;
    let half = |view: TensorView| -> anyhow::Result<(Vec<usize>, Vec<u8>)> {
        anyhow::ensure!(view.dtype() == Dtype::F32, "weights in 32 bits are expected");
        let numbers = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let bytes = numbers.flat_map(|number| f16::from_f32(number).to_le_bytes()).collect();
        Ok((view.shape().to_vec(), bytes))
    };
    let halves = weights.iter().map(|(name, view)| Ok((name, half(view)?)));
    let halves = halves.collect::<anyhow::Result<Vec<_>>>()?;
    let views = halves.iter().map(|(name, (shape, bytes))| {
        Ok((name.to_string(), TensorView::new(Dtype::F16, shape.clone(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize(views, None)?)
}

/// A line of a list: the size of a file, which the page needs in order to show progress, and the
/// file's path.
fn line(folder: &Path, path: &str) -> anyhow::Result<String> {
    Ok(format!("{} {path}\n", folder.join(path).metadata()?.len()))
}

/// Copies and lists the files that make up a model, but not those that say how it was made.
fn copy_model(from: &Path, folder: &Path, name: &str) -> anyhow::Result<()> {
    let mut list = String::new();
    for file in files::below(from)?
        .into_iter()
        .filter(|file| file.components().count() > 1 || file.ends_with("model_index.json"))
    {
        let (from, to) = (from.join(&file), folder.join(name).join(&file));
        match file.extension().is_some_and(|kind| kind == "safetensors") {
            true => write(&to, &halved(&files::read(from)?)?)?,
            false => copy(&from, &to)?,
        }
        let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
        list += &line(folder, &format!("{name}/{}", parts.join("/")))?;
    }
    write(&folder.join(format!("{name}.list")), list.as_bytes())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    write(to, &files::read(from)?)
}

/// Writes a file unless it is already there, unchanged: otherwise every build would make `mdbook
/// serve` build again, in an endless loop.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if files::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    Ok(files::write(path, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halved_weights_are_the_same_numbers_in_half_the_bytes() {
        let numbers = [0.5f32, -1.25, 3.0, 0.1];
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![2, 2], &bytes).unwrap();
        let file = safetensors::serialize([("w", view)], None).unwrap();
        let halves = halved(&file).unwrap();
        let read = SafeTensors::deserialize(&halves).unwrap();
        let view = read.tensor("w").unwrap();
        assert_eq!((view.dtype(), view.shape(), view.data().len()), (Dtype::F16, &[2, 2][..], 8));
        let found = view.data().as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32());
        assert!(found.zip(numbers).all(|(found, number)| (found - number).abs() < 1e-3));
    }
}
