//! Our side of the comparison.

use std::io::{BufRead, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use ch03_forward::{rng, standard_normal};
use ch04_unet::model_dir::{self, Model};
use ch04_unet::UNet;
use ch05_train::{Batch, OptimizerConfig, TrainConfig, Trainer};
use ch06_sampling::{denoiser, noise_per_image, sources, Ancestral, Solver};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};
use rand::Rng;
use serde::Serialize;

use crate::peer::{Answer, Hello};
use crate::Task;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    model: PathBuf,
    #[arg(long)]
    task: Task,
    #[arg(long)]
    threads: usize,
}

/// A turn lasts at least this many seconds.
const TURN: f64 = 0.3;
/// The timestep of a sampling step.
const TIMESTEP: usize = 500;

struct Inputs {
    device: AutoDevice,
    model: Model<UNet<AutoDevice>>,
    x0: Images<AutoDevice>,
    eps: Images<AutoDevice>,
    timesteps: Vec<usize>,
}

pub fn work(args: &Args) -> anyhow::Result<()> {
    cli::set_threads(Some(args.threads))?;
    let device = cli::device(0)?;
    let model = model_dir::load(&device, &args.model)?;
    let batch = model_dir::read_tensors(&files::Disk, &args.model.join("batch.safetensors"))?;
    let [b, c, h, w] = batch["x0"].shape[..] else {
        anyhow::bail!("batch.safetensors: x0 is not a batch of images")
    };
    let images = |name: &str| device.tensor_from_vec(batch[name].values.clone(), (b, c, h, w));
    let timesteps = batch["timesteps"].values.iter().map(|&t| t as usize).collect();
    let inputs = Inputs { x0: images("x0"), eps: images("eps"), timesteps, device, model };
    match args.task {
        Task::Train => train(inputs),
        Task::Sample => sample(inputs),
    }
}

/// The network's answer.
fn forward<T: Tape<f32, AutoDevice> + Merge<T>>(
    unet: &UNet<AutoDevice>,
    x_t: Images<AutoDevice, T>,
    timesteps: &[usize],
    _: Range<usize>,
) -> Images<AutoDevice, T> {
    unet.forward(x_t, timesteps)
}

/// Training steps on one batch, with fresh noise and timesteps each time.
fn train(inputs: Inputs) -> anyhow::Result<()> {
    let Inputs { device, model, x0, eps, timesteps } = inputs;
    let config = TrainConfig {
        unet: model.network.config().clone(),
        objective: Default::default(),
        scheduler: model.scheduler.clone(),
        optimizer: OptimizerConfig::default(),
        batch_size: x0.shape().0,
        ema_decay: 0.999,
        seed: 0,
    };
    let mut trainer = Trainer::new(&device, config)?;
    trainer.network = model.network;
    let mut batch = Batch { indices: (0..timesteps.len()).collect(), x0, timesteps, eps };
    let first = trainer.learn(&batch, forward)?;
    let mut random = rng(0, 0);
    serve(first.loss as f64, || {
        batch.timesteps.fill_with(|| random.gen_range(0..trainer.diffusion.schedule.len()));
        batch.eps = standard_normal(&device, *batch.x0.shape(), &mut random);
        trainer.learn(&batch, forward)?;
        device.synchronize();
        Ok(())
    })
}

/// Sampling steps from one x_t.
fn sample(inputs: Inputs) -> anyhow::Result<()> {
    let Inputs { device, model, x0: x_t, .. } = inputs;
    let batch = x_t.shape().0;
    let denoise = denoiser(&device, &model.network);
    let answer = denoise(&x_t, TIMESTEP).as_vec();
    let check = answer.iter().map(|v| v.abs() as f64).sum::<f64>() / answer.len() as f64;
    let mut solver = Ancestral::for_model(&model);
    let mut random = sources(0, 0..batch as u64);
    serve(check, || {
        let mut noise = || noise_per_image(&device, *x_t.shape(), &mut random);
        solver.step(&x_t, TIMESTEP, Some(TIMESTEP - 1), &denoise, &mut noise);
        device.synchronize();
        Ok(())
    })
}

/// Says hello, then answers each line on standard input with the time that a step takes.
fn serve(check: f64, mut step: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    step()?;
    say(&Hello { check, versions: String::new() })?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let mut steps = 0;
        while steps == 0 || start.elapsed().as_secs_f64() < TURN {
            step()?;
            steps += 1;
        }
        say(&Answer {
            seconds: start.elapsed().as_secs_f64() / steps as f64,
            peak_memory: peak_memory(),
        })?;
    }
    Ok(())
}

fn say(message: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(message)?)?;
    Ok(out.flush()?)
}

/// The most memory that this process has ever held, in bytes, if the system reports it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
