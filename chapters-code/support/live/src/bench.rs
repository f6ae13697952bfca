//! Chapter 2: a schedule, and what it does to a cat.

use ch01_tensors::{batch, Cats, Split};
use ch02_schedule::{betas, BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use dfdx::prelude::*;
use figures::palette;
use serde::Deserialize;

use crate::drawing::{plot_y, Drawing};
use crate::{Frame, Frames};

/// alpha_bar and the logarithm of the signal-to-noise ratio over all timesteps, and a cat at ten of
/// them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleBench {
    schedule: BetaSchedule,
    /// Ten thousand times the first beta, and a hundred times the last.
    first: f64,
    last: f64,
    timesteps: usize,
    betas: Used,
}

/// What is used as betas.
#[derive(Clone, Copy, Deserialize)]
enum Used {
    #[serde(rename = "right")]
    Betas,
    /// Mistakes of chapter 2.
    #[serde(rename = "their roots")]
    Roots,
    #[serde(rename = "their squares")]
    Squares,
}

const WIDTH: u32 = 480;
const CURVES: u32 = 180;
/// Cats in the strip, and screen pixels per pixel.
const CATS: usize = 10;
const SCALE: usize = 3;
/// The logarithms (to base 10) of the signal-to-noise ratio at the bottom and the top of the plot.
const LOG_SNR: [f64; 2] = [-5.0, 5.0];

impl ScheduleBench {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let (first, last, total) = (self.first * 1e-4, self.last * 1e-2, self.timesteps);
        anyhow::ensure!((2..=1000).contains(&total), "timesteps = {total}: must be from 2 to 1000");
        let in_bounds = |beta: f64| beta > 0.0 && beta < 1.0;
        anyhow::ensure!(
            in_bounds(first) && in_bounds(last),
            "betas from {first} to {last}: they must lie between 0 and 1"
        );
        let used = |beta: &f64| match self.betas {
            Used::Betas => *beta,
            Used::Roots => beta.sqrt(),
            Used::Squares => beta * beta,
        };
        let betas = betas(self.schedule, total, first, last).iter().map(used).collect();
        let schedule = Schedule::from_betas(betas);
        let drowned = (0..total).find(|&t| schedule.snr(t) <= 1.0);
        let caption = format!(
            "alpha_bar[T-1] = {:.1e}, {}",
            schedule.alpha_bar[total - 1],
            match drowned {
                Some(t) => format!("signal-to-noise ratio 1 at t = {t}"),
                None => "the noise never outweighs the signal".to_string(),
            }
        );
        let mut drawing = Drawing::new(WIDTH, CURVES + (16 * SCALE) as u32);
        curves(&mut drawing, &schedule);
        strip(&mut drawing, schedule);
        Ok(Box::new(std::iter::once(Frame { picture: drawing.finish(), columns: 0, caption })))
    }
}

fn curves(drawing: &mut Drawing, schedule: &Schedule) {
    let last = (schedule.len() - 1) as f64;
    let x = |t: usize| t as f64 / last * WIDTH as f64;
    let y = |share: f64| plot_y(share, CURVES);
    let ends = [0.0, WIDTH as f64];
    for share in [0.0, 0.5, 1.0] {
        drawing.line(&ends.map(|x| (x, y(share))), palette::INK, 1.0, 0.6);
    }
    let [low, high] = LOG_SNR;
    let mut curve = |color, value: &dyn Fn(usize) -> f64| {
        let points: Vec<_> = (0..schedule.len()).map(|t| (x(t), y(value(t)))).collect();
        drawing.line(&points, color, 2.5, 1.0);
    };
    curve(palette::SIGNAL, &|t| schedule.alpha_bar[t]);
    curve(palette::NOISE, &|t| (schedule.snr(t).log10() - low) / (high - low));
}

/// One cat, with the same noise throughout, at timesteps from the first to the last.
fn strip(drawing: &mut Drawing, schedule: Schedule) {
    let device = crate::device();
    let last = schedule.len() - 1;
    let timesteps: Vec<usize> = (0..CATS).map(|i| i * last / (CATS - 1)).collect();
    let x0 = batch(&device, &Cats::new(Split::Train), &[5; CATS]);
    let one = standard_normal(&device, (1, 3, 16, 16), &mut rng(0, 0)).as_vec();
    let eps = ops::tensor(&device, one.repeat(CATS), *x0.shape());
    let diffusion = Diffusion { schedule, prediction_type: PredictionType::Epsilon };
    drawing.put_row(&diffusion.q_sample(&x0, &timesteps, &eps), SCALE, CURVES);
}
