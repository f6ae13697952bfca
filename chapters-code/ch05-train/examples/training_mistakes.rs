//! Small networks that were trained briefly: one as it should be, and three as
//! they should not be.

use ch01_tensors::{batch, Cats, Split};
use ch03_forward::{rng, standard_normal};
use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::{Preset, UNet};
use ch05_train::{OptimizerConfig, TrainConfig, Trainer};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

/// Training steps, and images per row.
const STEPS: usize = 200;
const COUNT: usize = 8;

type Forward = fn(
    &UNet<AutoDevice>,
    Images<AutoDevice, OwnedTape<f32, AutoDevice>>,
    &[usize],
) -> Images<AutoDevice, OwnedTape<f32, AutoDevice>>;

/// Trains, and shows which clean images the network sees in noisy ones at timestep 150.
fn train(
    device: &AutoDevice,
    optimizer: OptimizerConfig,
    forward: Forward,
    same_noise: bool,
) -> Images<AutoDevice> {
    let config = TrainConfig {
        unet: Preset::Tiny.config([3, 16, 16]),
        objective: Default::default(),
        scheduler: SchedulerConfig::default(),
        optimizer,
        batch_size: 32,
        ema_decay: 0.9,
        seed: 0,
    };
    let mut trainer = Trainer::new(device, config).expect("the preset can be built");
    let cats = Cats::new(Split::Train);
    let first = standard_normal(device, (1, 3, 16, 16), &mut rng(9, 0)).as_vec();
    for _ in 0..STEPS {
        let (mut batch, _) = trainer.next_batch(&cats);
        if same_noise {
            batch.eps = ops::tensor(device, first.repeat(32), *batch.x0.shape());
        }
        // A loss that is not a number ends the training, as it would end a real run.
        if trainer
            .learn(&batch, |unet, x_t, timesteps, _| forward(unet, x_t, timesteps))
            .is_err()
        {
            break;
        }
    }
    let x0 = batch(device, &Cats::new(Split::HeldOut), &[0, 1, 2, 3, 4, 5, 6, 7]);
    let eps = standard_normal(device, (COUNT, 3, 16, 16), &mut rng(1, 0));
    let timesteps = [150; COUNT];
    let x_t = trainer.diffusion.q_sample(&x0, &timesteps, &eps);
    let taped = x_t.clone().put_tape(OwnedTape::default());
    let (output, _) = forward(&trainer.network, taped, &timesteps).split_tape();
    trainer.diffusion.x0(&x_t, &timesteps, &output)
}

fn main() -> Result<(), figures::FigureError> {
    let device: AutoDevice = cli::device(0).expect("a device");
    let usual = OptimizerConfig { warmup_steps: 20, ..Default::default() };
    // ANCHOR: mistakes
    // A learning rate a hundred times too large, and nothing to hold it back.
    let hasty = OptimizerConfig {
        learning_rate: 0.2,
        max_gradient_norm: 1e9,
        warmup_steps: 0,
        ..Default::default()
    };
    // The network is never told the timestep.
    let untold: Forward =
        |unet, x_t, timesteps| unet.forward(x_t, &vec![0; timesteps.len()]);
    // ANCHOR_END: mistakes
    let rows = [
        train(&device, usual.clone(), UNet::forward, false),
        train(&device, hasty, UNet::forward, false),
        train(&device, usual.clone(), untold, false),
        // The noise is drawn once, and used for every picture at every step.
        train(&device, usual, UNet::forward, true),
    ];
    figures::save_png("training_mistakes.png", &figures::image_rows(&rows, 5))
}
