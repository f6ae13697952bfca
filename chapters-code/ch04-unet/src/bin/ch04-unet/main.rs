//! Prints the stages of a U-Net, or sends an input through a stored one.

use std::path::{Path, PathBuf};

use ch04_unet::{model_dir, summary, Preset, UNet};
use clap::Parser;
use dfdx::prelude::*;
use files::Disk;
use ops::params::{self, HostTensor, NamedTensors};
use ops::AutoDevice;

/// Look inside a U-Net: shapes, parameters and work of every stage
#[derive(Parser)]
struct Args {
    /// A network by name
    #[arg(long, value_enum, default_value = "cats")]
    preset: Preset,
    /// Channels of the images
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    channels: Option<u32>,
    /// Side of the images
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    image_size: Option<u32>,
    /// Take the network from this model directory instead
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Send this through the model: a safetensors file with one tensor, (batch,
    /// channels, height, width)
    #[arg(long, value_name = "FILE", requires_all = ["model", "output"])]
    input: Option<PathBuf>,
    /// The timestep at which to send --input through
    #[arg(long, default_value_t = 0)]
    timestep: usize,
    /// Where the answer goes: a safetensors file with a tensor named "output"
    #[arg(long, value_name = "FILE", requires = "input")]
    output: Option<PathBuf>,
}

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| {
        if let Some(output) = &args.output {
            cli::outputs([("--output", output, "safetensors")])?;
        }
        let device = cli::device(0)?;
        let mut unet = match &args.model {
            Some(directory) => {
                let model = model_dir::load(&device, directory)?;
                cli::notes(&model.notes);
                model.network
            }
            None => {
                let [channels, size, _] = args.preset.input_shape();
                let channels = args.channels.map_or(channels, |c| c as usize);
                let size = args.image_size.map_or(size, |s| s as usize);
                UNet::new(
                    &device,
                    &args.preset.config([channels, size, size]),
                    &mut ch03_forward::rng(0, 0),
                )?
            }
        };
        match (&args.input, &args.output) {
            (Some(input), Some(output)) => {
                forward(&args, &device, &unet, input, output)
            }
            _ => print_summary(&args, &device, &mut unet),
        }
    })
}

fn print_summary(
    args: &Args,
    device: &AutoDevice,
    unet: &mut UNet<AutoDevice>,
) -> anyhow::Result<()> {
    let size = args.image_size.map(|s| s as usize);
    let [channels, height, width] = match (unet.config().input_shape(), size) {
        (_, Some(s)) => [unet.config().in_channels, s, s],
        (Some(shape), None) => shape,
        (None, None) => {
            anyhow::bail!("the config has no sample_size: give one with --image-size")
        }
    };
    let factor = unet.config().size_factor();
    if height % factor != 0 || width % factor != 0 {
        anyhow::bail!(
            "--image-size {height}: this network needs a multiple of {factor}"
        );
    }
    let stages = summary(unet, device.zeros_like(&(1, channels, height, width)));
    cli::println!(
        "{:<30} {:>16} {:>12} {:>16}",
        "stage",
        "output",
        "parameters",
        "multiply-adds"
    );
    cli::println!("{:<30} {:>16}", "input", format!("{channels}x{height}x{width}"));
    for s in &stages {
        let [c, h, w] = s.shape;
        cli::println!(
            "{:<30} {:>16} {:>12} {:>16}",
            s.name,
            format!("{c}x{h}x{w}"),
            s.parameters,
            s.multiply_adds
        );
    }
    let parameters: usize = stages.iter().map(|s| s.parameters).sum();
    let work: usize = stages.iter().map(|s| s.multiply_adds).sum();
    cli::println!("{:<30} {:>16} {parameters:>12} {work:>16}", "total", "");
    Ok(())
}

fn forward(
    args: &Args,
    device: &AutoDevice,
    unet: &UNet<AutoDevice>,
    input: &Path,
    output: &Path,
) -> anyhow::Result<()> {
    let tensors = model_dir::read_tensors(&Disk, input)?;
    let Some((name, x)) = tensors.iter().next().filter(|_| tensors.len() == 1) else {
        anyhow::bail!(
            "{}: holds {} tensors, but one input is needed",
            input.display(),
            tensors.len()
        );
    };
    let [batch, channels, height, width] = x.shape[..] else {
        anyhow::bail!(
            "{}: tensor '{name}' has shape {:?}, but (batch, channels, height, width) is needed",
            input.display(),
            x.shape
        );
    };
    let (factor, expected) = (unet.config().size_factor(), unet.config().in_channels);
    if batch == 0
        || channels != expected
        || height == 0
        || width == 0
        || height % factor != 0
        || width % factor != 0
    {
        let need = format!(
            "{expected} channels, and a height and width that are multiples of {factor}"
        );
        anyhow::bail!(
            "{}: tensor '{name}' has shape {:?}, but this network needs {need}",
            input.display(),
            x.shape
        );
    }
    let x = ops::tensor(device, x.values.clone(), (batch, channels, height, width));
    let y = unet.forward(x, &vec![args.timestep; batch]);
    let (b, c, h, w) = *y.shape();
    let answer = HostTensor { shape: vec![b, c, h, w], values: y.as_vec() };
    let bytes = params::to_safetensors(
        &NamedTensors::from([("output".to_string(), answer)]),
        &[],
    );
    files::write(output, &bytes)?;
    cli::println!("wrote {} ({b}x{c}x{h}x{w})", output.display());
    Ok(())
}
