//! Chapter 5: a tiny network learns to see cats in noise.

use ch01_tensors::{batch, Cats, Split};
use ch03_forward::{rng, standard_normal};
use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::Preset;
use ch05_train::{heldout_loss, OptimizerConfig, TrainConfig, Trainer};
use dfdx::prelude::*;
use figures::palette;
use serde::Deserialize;

use crate::drawing::{plot_y, Drawing};
use crate::{Frame, Frames};

/// The loss as it falls, or does not, and the cats that the network sees in noise.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The logarithm (to base 10) of the learning rate.
    learning_rate: f64,
    steps: u64,
    seed: u64,
}

/// Steps from one picture to the next, and the most that a reader would wait for.
const EVERY: u64 = 5;
const MOST_STEPS: u64 = 1000;
const BATCH: usize = 16;
/// How many held-out images the loss is measured on, and how many steps lie between measurements.
const HELD_OUT: usize = 32;
const MEASURED_EVERY: u64 = 50;
/// How many noisy cats the network is shown, and at which timestep.
const SHOWN: usize = 10;
const TIMESTEP: usize = 150;

pub const WIDTH: u32 = 480;
pub const CURVE: u32 = 160;
const SCALE: usize = 3;
/// The logarithms (to base 10) of the loss at the bottom and the top of the plot.
const LOG_LOSS: [f64; 2] = [-1.5, 0.5];

/// An optimiser with this learning rate, given as its logarithm (to base 10).
pub fn optimizer(exponent: f64) -> anyhow::Result<OptimizerConfig> {
    anyhow::ensure!(
        (-6.0..=1.0).contains(&exponent),
        "learning_rate = {exponent}: its logarithm must be from -6 to 1"
    );
    let learning_rate = 10f64.powf(exponent);
    Ok(OptimizerConfig { learning_rate, warmup_steps: 20, ..Default::default() })
}

impl Training {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let steps = self.steps;
        let optimizer = optimizer(self.learning_rate)?;
        anyhow::ensure!((1..=MOST_STEPS).contains(&steps), "steps = {steps}: 1 to {MOST_STEPS}");
        let device = crate::device();
        let config = TrainConfig {
            unet: Preset::Tiny.config([3, 16, 16]),
            scheduler: SchedulerConfig::default(),
            objective: Default::default(),
            optimizer,
            batch_size: BATCH,
            ema_decay: 0.9,
            seed: self.seed,
        };
        let mut trainer = Trainer::new(&device, config)?;
        let (cats, held_out) = (Cats::new(Split::Train), Cats::new(Split::HeldOut));
        let numbers: [usize; SHOWN] = std::array::from_fn(|i| i);
        let x0 = batch(&device, &held_out, &numbers);
        let eps = standard_normal(&device, *x0.shape(), &mut rng(1, 0));
        let x_t = trainer.diffusion.q_sample(&x0, &[TIMESTEP; SHOWN], &eps);
        let (mut losses, mut measured) = (Vec::new(), Vec::new());
        let mut diverged = false;
        let frames = (0..steps).map_while(move |step| {
            if diverged {
                return None;
            }
            match trainer.train_step(&cats) {
                Ok(report) => losses.push((step, report.loss)),
                Err(_) => diverged = true,
            }
            let done = step + 1;
            if done % MEASURED_EVERY == 0 || done == steps {
                let network = |x_t, timesteps: &[usize], _| trainer.network.forward(x_t, timesteps);
                let weighting = trainer.config.objective.weighting;
                let diffusion = &trainer.diffusion;
                let loss =
                    heldout_loss(&device, diffusion, weighting, &held_out, HELD_OUT, 0, network);
                measured.push((step, loss.mean()));
            }
            let shown = done % EVERY == 0 || done == steps || diverged;
            Some(shown.then(|| {
                let output = trainer.network.forward(x_t.clone(), &[TIMESTEP; SHOWN]);
                let seen = trainer.diffusion.x0(&x_t, &[TIMESTEP; SHOWN], &output);
                let caption = match (diverged, losses.last(), measured.last()) {
                    (true, ..) => format!("step {done}: the loss is no longer a number"),
                    (_, Some((_, loss)), Some((_, held_out))) => {
                        format!("step {done}: loss {loss:.3}, held-out loss {held_out:.3}")
                    }
                    (_, Some((_, loss)), None) => format!("step {done}: loss {loss:.3}"),
                    _ => String::new(),
                };
                let mut drawing = Drawing::new(WIDTH, CURVE + (2 * 16 * SCALE) as u32);
                curves(&mut drawing, steps, &losses, &measured);
                drawing.put_row(&x_t, SCALE, CURVE);
                drawing.put_row(&seen, SCALE, CURVE + (16 * SCALE) as u32);
                Frame { picture: drawing.finish(), columns: 0, caption }
            }))
        });
        Ok(Box::new(frames.flatten()))
    }
}

/// Radius of a dot, in pixels.
const DOT: f32 = 4.0;

/// The loss of each step in green, and the held-out loss as dots.
pub fn curves(drawing: &mut Drawing, steps: u64, losses: &[(u64, f32)], measured: &[(u64, f32)]) {
    let [low, high] = LOG_LOSS;
    let place = |&(step, loss): &(u64, f32)| {
        let share = ((loss as f64).log10() - low) / (high - low);
        // The last dot does not stick out.
        let (left, width) = (DOT as f64, WIDTH as f64 - 2.0 * DOT as f64);
        (left + step as f64 / steps as f64 * width, plot_y(share, CURVE))
    };
    for loss in [0.1, 1.0] {
        let ends = [0, steps].map(|step| place(&(step, loss)));
        drawing.line(&ends, palette::INK, 1.0, 0.6);
    }
    let points = |all: &[(u64, f32)]| all.iter().map(place).collect::<Vec<_>>();
    drawing.line(&points(losses), palette::PREDICTION, 1.5, 1.0);
    for point in points(measured) {
        drawing.dot(point, DOT, palette::DATA, 1.0);
    }
}
