//! Trains a diffusion model.

use std::path::Path;

use ch01_tensors::Dataset;
use ch04_unet::UNet;
use ch05_train::session::{self, Args, Session};
use ch05_train::{heldout_loss, HeldoutLoss, StepReport, TrainError, Trainer};
use ch06_sampling::sample_images;
use clap::Parser;
use ops::{AutoDevice, Images};

/// Train a diffusion model; without arguments, on the built-in cats
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
}

struct Unconditional {
    device: AutoDevice,
    trainer: Trainer<AutoDevice>,
}

impl Session for Unconditional {
    type Network = UNet<AutoDevice>;
    const COMMAND: &'static str = "cargo run -p ch05-train --";

    fn draw_command(directory: &str) -> String {
        format!(
            "cargo run -p ch06-sampling -- --model {directory} --count 16 --seed 1 \
            --out samples.png"
        )
    }

    fn trainer(&mut self) -> &mut Trainer<AutoDevice> {
        &mut self.trainer
    }

    fn train_step(&mut self, dataset: &dyn Dataset) -> Result<StepReport, TrainError> {
        self.trainer.train_step(dataset)
    }

    fn heldout_loss(&mut self, dataset: &dyn Dataset, count: usize) -> HeldoutLoss {
        let (model, config) = (self.trainer.model(), &self.trainer.config);
        let network =
            |x_t, timesteps: &[usize], _| model.network.forward(x_t, timesteps);
        let (weighting, seed) = (config.objective.weighting, config.seed);
        let diffusion = &model.diffusion;
        heldout_loss(&self.device, diffusion, weighting, dataset, count, seed, network)
    }

    fn draw(&mut self, count: usize, seed: u64) -> Images<AutoDevice> {
        let shape = self
            .trainer
            .config
            .unet
            .input_shape()
            .expect("a training run knows its images");
        let model = self.trainer.model();
        sample_images(&self.device, &model, shape, 0..count as u64, seed)
    }

    fn save(&mut self, directory: &Path) -> anyhow::Result<()> {
        Ok(self.trainer.save(directory)?)
    }
}

fn main() -> std::process::ExitCode {
    cli::run(|Program { args }: Program| {
        session::run(
            &args,
            |device, dataset| {
                let trainer = Trainer::new(device, args.config(dataset.shape())?)?;
                Ok(Unconditional { device: device.clone(), trainer })
            },
            |device, out, _| {
                Ok(Unconditional {
                    device: device.clone(),
                    trainer: Trainer::load(device, out)?,
                })
            },
        )
    })
}
