//! Chapter 6 in the plane, with a network: trained with chapter 5's training step, it learns the
//! mean that [`crate::plane`] computes from the data.

use ch01_tensors::Dataset;
use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::time_embedding;
use ch05_train::{OptimizerConfig, TrainConfig, Trainer};
use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use dfdx::prelude::*;
use figures::{palette, RgbaImage};
use ops::layers::Linear;
use ops::{Images, UNetDevice};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::drawing::Drawing;
use crate::plane::{self, Data, POINTS};
use crate::training::{self, CURVE, WIDTH};
use crate::{Frame, Frames};

/// The loss, the data, and the places to which the network takes points with what it has learnt so
/// far.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaneTraining {
    data: Data,
    /// The logarithm (to base 10) of the learning rate.
    learning_rate: f64,
    steps: u64,
    seed: u64,
}

/// Steps of training from one picture to the next: few at first, while the network is learning fast
/// and the reader may still be dragging a slider.
const EVERY_AT_FIRST: u64 = 10;
const FIRST: u64 = 200;
const EVERY: u64 = 100;
/// The most steps that a reader would wait for.
const MOST_STEPS: u64 = 10_000;
/// The loss of a batch is noisy, so it is averaged over this many steps.
const MEAN_OF: u64 = 20;
const BATCH: usize = 256;
const SAMPLING_STEPS: usize = 50;
/// Widths of the layers, and of the time embedding.
const WIDE: usize = 128;
const TIME: usize = 32;

/// Points as images of one pixel.
struct Points(Vec<[f64; 2]>);

impl Dataset for Points {
    fn name(&self) -> &str {
        "points"
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn shape(&self) -> [usize; 3] {
        [2, 1, 1]
    }
    fn image(&self, index: usize) -> Vec<f32> {
        self.0[index].map(|value| value as f32).to_vec()
    }
    fn label(&self, _index: usize) -> usize {
        0
    }
    fn classes(&self) -> Vec<String> {
        vec!["point".into()]
    }
    fn caption(&self, _index: usize) -> String {
        "a point".into()
    }
    fn may_flip(&self) -> bool {
        false
    }
}

/// Four layers for points: in a picture of one pixel there are no neighbours to convolve.
#[derive(Clone, Debug)]
struct Network<D: UNetDevice> {
    of_x: Linear<D>,
    of_time: Linear<D>,
    hidden: Linear<D>,
    deeper: Linear<D>,
    out: Linear<D>,
}

ops::parameters!(Network { of_x, of_time, hidden, deeper, out });

impl<D: UNetDevice> Network<D> {
    fn new(device: &D, rng: &mut impl Rng) -> Self {
        Self {
            of_x: Linear::new(device, rng, 2, WIDE),
            of_time: Linear::without_bias(device, rng, TIME, WIDE),
            hidden: Linear::new(device, rng, WIDE, WIDE),
            deeper: Linear::new(device, rng, WIDE, WIDE),
            out: Linear::new(device, rng, WIDE, 2),
        }
    }

    /// x_t is `(points, 2, 1, 1)`.
    fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        x_t: Images<D, T>,
        timesteps: &[usize],
    ) -> Images<D, T> {
        let points = timesteps.len();
        let time = time_embedding(x_t.device(), timesteps, TIME, true, 0.0);
        let time = self.of_time.forward(time.put_tape(T::default()));
        let x = ops::silu(self.of_x.forward(x_t.reshape_like(&(points, 2))) + time);
        let x = ops::silu(self.hidden.forward(x));
        let x = ops::silu(self.deeper.forward(x));
        self.out.forward(x).reshape_like(&(points, 2, 1, 1))
    }
}

/// The points at the beginning, and their sources of fresh noise.
fn noise(device: &Cpu) -> (Images<Cpu>, Vec<ChaCha8Rng>) {
    let mut rngs = sources(0, 0..POINTS as u64);
    (noise_per_image(device, (POINTS, 2, 1, 1), &mut rngs), rngs)
}

/// Where this network takes points that walk from noise.
fn ends(device: &Cpu, trainer: &Trainer<Cpu, Network<Cpu>>) -> Images<Cpu> {
    let timesteps =
        TimestepSpacing::Trailing.timesteps(trainer.diffusion.schedule.len(), SAMPLING_STEPS, 0);
    let (noise, rngs) = noise(device);
    let denoise = |x_t: &Images<Cpu>, t: usize| trainer.network.forward(x_t.clone(), &[t; POINTS]);
    let ddim = Ddim::new(trainer.diffusion.clone(), None, 0.0);
    walk(ddim, noise, &timesteps, rngs, denoise).finish()
}

/// The loss, the data and the points.
fn drawing(
    steps: u64,
    losses: &[(u64, f32)],
    data: &[[f64; 2]],
    points: &Images<Cpu>,
) -> RgbaImage {
    let mut drawing = Drawing::new(WIDTH, CURVE + plane::SIDE);
    training::curves(&mut drawing, steps, losses, &[]);
    let place = |point: &[f64; 2]| {
        let (x, y) = plane::place(point);
        (x + (WIDTH - plane::SIDE) as f64 / 2.0, y + CURVE as f64)
    };
    for point in data {
        drawing.dot(place(point), 2.5, palette::DATA, 1.0);
    }
    for point in points.as_vec().chunks(2) {
        let point = [point[0] as f64, point[1] as f64];
        drawing.dot(place(&point), 3.0, palette::SIGNAL, 1.0);
    }
    drawing.finish()
}

impl PlaneTraining {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let steps = self.steps;
        let optimizer = OptimizerConfig {
            total_steps: steps,
            cooldown: 0.5,
            ..training::optimizer(self.learning_rate)?
        };
        anyhow::ensure!((1..=MOST_STEPS).contains(&steps), "steps = {steps}: 1 to {MOST_STEPS}");
        let device = crate::device();
        let config = TrainConfig {
            unet: Default::default(), // not used
            scheduler: SchedulerConfig::default(),
            objective: Default::default(),
            optimizer,
            batch_size: BATCH,
            ema_decay: 0.9,
            seed: self.seed,
        };
        let network = Network::new(&device, &mut config.first_weights());
        let mut trainer = Trainer::with_network(&device, config, network)?;
        let points = Points(self.data.points("")?);
        // Shown at once, while the reader is dragging a slider: where the points begin.
        let first = Frame {
            picture: drawing(steps, &[], &points.0, &noise(&device).0),
            columns: 0,
            caption: "step 0: noise".into(),
        };
        let (mut losses, mut sum) = (Vec::new(), 0.0);
        let mut diverged = false;
        let frames = (0..steps).map_while(move |step| {
            if diverged {
                return None;
            }
            let (batch, _) = trainer.next_batch(&points);
            match trainer
                .learn(&batch, |network, x_t, timesteps, _| network.forward(x_t, timesteps))
            {
                Ok(report) => {
                    sum += report.loss;
                    if (step + 1) % MEAN_OF == 0 {
                        losses.push((step, std::mem::take(&mut sum) / MEAN_OF as f32));
                    }
                }
                Err(_) => diverged = true,
            }
            let done = step + 1;
            let every = if done <= FIRST { EVERY_AT_FIRST } else { EVERY };
            let shown = done % every == 0 || done == steps || diverged;
            Some(shown.then(|| {
                let caption = match losses.last() {
                    _ if diverged => format!("step {done}: the loss is no longer a number"),
                    Some((_, loss)) => format!("step {done}: loss {loss:.3}"),
                    None => format!("step {done}"),
                };
                let picture = drawing(steps, &losses, &points.0, &ends(&device, &trainer));
                Frame { picture, columns: 0, caption }
            }))
        });
        Ok(Box::new(std::iter::once(first).chain(frames.flatten())))
    }
}
