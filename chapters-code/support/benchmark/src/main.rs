//! Used by no other crate: a program that times this project against PyTorch in alternating turns,
//! on the same network (read from the same model directory) and on the same images.

mod ours;
mod peer;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use ch03_forward::{rng, standard_normal};
use ch04_unet::model_dir::{self, SchedulerConfig};
use ch04_unet::{summary, BlockType, Preset, UNet, UNetConfig};
use clap::{Parser, Subcommand, ValueEnum};
use dfdx::prelude::*;
use ops::params::{self, HostTensor, NamedTensors};
use peer::Peer;
use rand::Rng;
use report::Row;

/// Time training and sampling against PyTorch (this needs a Python with torch, diffusers and
/// safetensors)
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The Python that has torch and diffusers
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Threads for each side (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Turns that each side gets; their median is reported
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    turns: u32,
    /// Do everything this many times; each line shows the run with the median ratio
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Also time the paper's network for CIFAR-10, with 35.7 million parameters (meant for a GPU:
    /// on a processor it takes minutes)
    #[arg(long)]
    large: bool,
    /// Time only configurations whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// Time our side alone
    #[arg(long)]
    alone: bool,
    /// Also write the table here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// One side of the comparison; takes its orders on standard input (the program starts this
    /// itself)
    #[command(hide = true)]
    Work(ours::Args),
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Forward, loss, backward, AdamW, moving average
    Train,
    /// One step of ancestral sampling
    Sample,
}

/// One line of the table.
struct Configuration {
    name: &'static str,
    task: Task,
    unet: UNetConfig,
    batch: usize,
}

/// The table's network for 32×32×3 images.
fn medium() -> UNetConfig {
    use BlockType::*;
    UNetConfig {
        block_out_channels: vec![64, 128, 128],
        down_block_types: vec![DownBlock2D, AttnDownBlock2D, DownBlock2D],
        up_block_types: vec![UpBlock2D, AttnUpBlock2D, UpBlock2D],
        layers_per_block: 2,
        norm_num_groups: 32,
        attention_head_dim: Some(64),
        ..Preset::DdpmCifar10.config([3, 32, 32])
    }
}

fn configurations(large: bool) -> Vec<Configuration> {
    let mut networks = vec![
        ("cats 16x16x3", Preset::Cats.config([3, 16, 16]), 64),
        ("mnist 28x28x1", Preset::Mnist.config([1, 28, 28]), 64),
        ("medium 32x32x3", medium(), 32),
    ];
    if large {
        networks.push(("ddpm-cifar10 32x32x3", Preset::DdpmCifar10.config([3, 32, 32]), 128));
    }
    let tasks = |(name, unet, batch): (&'static str, UNetConfig, usize)| {
        [(Task::Train, batch), (Task::Sample, 1), (Task::Sample, 16)]
            .map(|(task, batch)| Configuration { name, task, unet: unet.clone(), batch })
    };
    networks.into_iter().flat_map(tasks).collect()
}

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| match &args.command {
        Some(Command::Work(work)) => ours::work(work),
        None => compare(&args),
    })
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, |n| n.get()),
        |n| n as usize,
    );
    let wanted = |c: &Configuration| {
        format!("{} {:?} {}", c.name, c.task, c.batch)
            .to_lowercase()
            .contains(&args.only.to_lowercase())
    };
    let configurations: Vec<_> = configurations(args.large).into_iter().filter(wanted).collect();
    anyhow::ensure!(
        !configurations.is_empty(),
        "--only {}: no configuration has this in its name",
        args.only
    );
    let mut runs: Vec<Vec<Row>> = configurations.iter().map(|_| Vec::new()).collect();
    let mut versions = String::new();
    for run in 1..=args.runs {
        for (configuration, rows) in configurations.iter().zip(&mut runs) {
            let (row, peer) = measure(args, configuration, threads)?;
            eprintln!("run {run} {}", report::line(&row));
            rows.push(row);
            versions = peer;
        }
    }
    let rows: Vec<Row> = runs.into_iter().map(median).collect();
    let table = report::table(&rows, threads, args.turns, args.runs, &versions);
    print!("{table}");
    if let Some(out) = &args.out {
        files::write(out, table.as_bytes())?;
    }
    Ok(())
}

/// The row whose ratio is in the middle.
fn median(mut rows: Vec<Row>) -> Row {
    rows.sort_by(|a, b| a.speed().total_cmp(&b.speed()));
    rows.swap_remove(rows.len() / 2)
}

/// Runs the two sides alternately.
fn measure(
    args: &Args,
    configuration: &Configuration,
    threads: usize,
) -> anyhow::Result<(Row, String)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let multiply_adds = write_inputs(configuration, path)?;
    let work = [
        "--model".to_string(),
        path.display().to_string(),
        "--task".into(),
        format!("{:?}", configuration.task).to_lowercase(),
        "--threads".into(),
    ];
    let ours = |threads: usize| {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        Peer::start(command.arg("work").args(&work).arg(threads.to_string()))
    };
    let mut us = ours(threads)?;
    let mut single = ours(1)?;
    // PyTorch has two memory layouts; the faster one counts.
    let mut them = Vec::new();
    for layout in ["contiguous_format", "channels_last"].into_iter().filter(|_| !args.alone) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/pytorch.py");
        let mut command = std::process::Command::new(&args.python);
        command.arg(script).args(&work).args([&threads.to_string(), "--layout", layout]);
        let peer = Peer::start(&mut command)?;
        let (a, b) = (us.check, peer.check);
        let name = configuration.name;
        anyhow::ensure!(
            (a - b).abs() <= 1e-4 * b.abs(),
            "{name}: the two sides compute different things: {a} and {b}"
        );
        them.push(peer);
    }
    for _ in 0..args.turns {
        for peer in [&mut us, &mut single].into_iter().chain(&mut them) {
            // Threads of the side that worked last may still be spinning.
            std::thread::sleep(Duration::from_millis(50));
            peer.turn()?;
        }
    }
    let versions = them.first().map_or(String::new(), |them| them.versions.clone());
    let factor = if configuration.task == Task::Train { 3.0 } else { 1.0 };
    let row = Row {
        name: configuration.name,
        task: configuration.task,
        batch: configuration.batch,
        work: 2.0 * factor * multiply_adds as f64 * configuration.batch as f64,
        ours: us.finish()?,
        single: single.finish()?,
        theirs: faster(them)?,
    };
    Ok((row, versions))
}

/// The result of whichever PyTorch process was faster.
fn faster(peers: Vec<Peer>) -> anyhow::Result<Option<peer::Result>> {
    let results = peers.into_iter().map(Peer::finish).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(results.into_iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds)))
}

/// Writes a model directory with random weights, and a batch to work on. Returns the number of
/// multiplications per image.
fn write_inputs(
    configuration: &Configuration,
    directory: &std::path::Path,
) -> anyhow::Result<usize> {
    let device = Cpu::default();
    let mut random = rng(0, 0);
    let mut unet = UNet::new(&device, &configuration.unet, &mut random)?;
    model_dir::save(
        directory,
        &configuration.unet,
        &params::to_host(&mut unet),
        &SchedulerConfig::default(),
    )?;

    let [channels, height, width] =
        configuration.unet.input_shape().expect("every network has a size");
    let batch = configuration.batch;
    let mut normal = || HostTensor {
        shape: vec![batch, channels, height, width],
        values: standard_normal(&device, (batch, channels, height, width), &mut random).as_vec(),
    };
    let (x0, eps) = (normal(), normal());
    let timesteps = HostTensor {
        shape: vec![batch],
        values: (0..batch).map(|_| random.gen_range(0..1000) as f32).collect(),
    };
    let tensors = NamedTensors::from([
        ("x0".into(), x0),
        ("eps".into(), eps),
        ("timesteps".into(), timesteps),
    ]);
    files::write(directory.join("batch.safetensors"), &params::to_safetensors(&tensors, &[]))?;

    let stages = summary(&mut unet, device.zeros_like(&(1, channels, height, width)));
    Ok(stages.iter().map(|stage| stage.multiply_adds).sum())
}
