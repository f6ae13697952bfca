//! Chapters 6 and 7 in the plane: 120 points walk from noise to data, and the best answer
//! that a network could give is a mean over the data.

use std::f64::consts::TAU;

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{Diffusion, PredictionType};
use ch06_sampling::{noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use dfdx::prelude::*;
use figures::palette;
use ops::Images;
use serde::Deserialize;

use crate::board::{digits, SIDE as SIDE_OF_BOARD};
use crate::drawing::Drawing;
use crate::{Frame, Frames};

/// Walking points, their paths so far, the clean points predicted for them, and the data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plane {
    data: Data,
    steps: usize,
    eta: f64,
    show: Shown,
    seed: u64,
    /// A digit for each pixel of a board: 1 where a point of [`Data::Marked`] is.
    #[serde(default)]
    mask: String,
}

#[derive(Clone, Copy, Deserialize)]
pub enum Data {
    #[serde(rename = "two moons")]
    Moons,
    #[serde(rename = "a ring")]
    Ring,
    #[serde(rename = "two points")]
    TwoPoints,
    #[serde(rename = "a cat's face")]
    Face,
    #[serde(rename = "what you mark")]
    Marked,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    Paths,
    Lines,
}

pub const POINTS: usize = 120;
/// A path is drawn for one point in this many.
const ONE_IN: usize = 10;
const TIMESTEPS: usize = 1000;
/// Side of the picture, and pixels per unit.
pub const SIDE: u32 = 400;
const UNIT: f64 = 62.0;

/// Units from one pixel of the board to the next.
const BOARD_STEP: f64 = 0.28;

/// The centres of the marked pixels, measured from the centre of the board.
fn marked(mask: &[usize]) -> Vec<[f64; 2]> {
    let places = (0..mask.len()).filter(|&i| mask[i] == 1);
    let middle = (SIDE_OF_BOARD as f64 - 1.0) / 2.0;
    let along = |i: usize| (i as f64 - middle) * BOARD_STEP;
    places.map(|i| [along(i % SIDE_OF_BOARD), -along(i / SIDE_OF_BOARD)]).collect()
}

impl Data {
    /// Points with a standard deviation of about 1.
    pub fn points(self, mask: &str) -> anyhow::Result<Vec<[f64; 2]>> {
        let arc = |count: usize, [x, y]: [f64; 2], radius: f64, [from, to]: [f64; 2]| {
            (0..count).map(move |i| {
                let angle = TAU * (from + (to - from) * i as f64 / count as f64);
                [x + radius * angle.cos(), y + radius * angle.sin()]
            })
        };
        Ok(match self {
            Self::Moons => arc(60, [-0.6, -0.3], 1.2, [0.0, 0.5])
                .chain(arc(60, [0.6, 0.3], 1.2, [0.5, 1.0]))
                .collect(),
            Self::Ring => arc(120, [0.0, 0.0], 1.4, [0.0, 1.0]).collect(),
            Self::Marked => marked(&digits("mask", mask, 2)?),
            Self::TwoPoints => vec![[-1.2, 0.0], [1.2, 0.0]],
            Self::Face => {
                let line = |count: usize, from: [f64; 2], to: [f64; 2]| {
                    (0..count).map(move |i| {
                        let u = i as f64 / count as f64;
                        [from[0] + u * (to[0] - from[0]), from[1] + u * (to[1] - from[1])]
                    })
                };
                let ears = [-1.0, 1.0].into_iter().flat_map(move |side| {
                    line(12, [side * 1.3, 0.8], [side * 1.2, 2.0]).chain(line(
                        12,
                        [side * 1.2, 2.0],
                        [side * 0.4, 1.35],
                    ))
                });
                let eyes = [-0.55, 0.55]
                    .into_iter()
                    .flat_map(move |x| arc(12, [x, 0.35], 0.18, [0.0, 1.0]));
                arc(60, [0.0, 0.0], 1.5, [0.38, 1.12])
                    .chain(line(8, [-0.4, 1.35], [0.4, 1.35]))
                    .chain(ears)
                    .chain(eyes)
                    .chain(arc(14, [-0.22, -0.5], 0.22, [0.5, 1.0]))
                    .chain(arc(14, [0.22, -0.5], 0.22, [0.5, 1.0]))
                    .collect()
            }
        })
    }
}

/// The mean of x0 given x_t, for data that consist of these points, each as likely as the others.
/// By Bayes' rule it is the mean of the points, each weighted by how likely it makes x_t (DDPM eq.
/// 4).
fn x0_given_x_t(points: &[[f64; 2]], alpha_bar: f64, x_t: [f64; 2]) -> [f64; 2] {
    let exponents: Vec<f64> = points
        .iter()
        .map(|point| {
            let square = |i: usize| (x_t[i] - alpha_bar.sqrt() * point[i]).powi(2);
            -(square(0) + square(1)) / (2.0 * (1.0 - alpha_bar))
        })
        .collect();
    let most = exponents.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = exponents.iter().map(|e| (e - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mean = |i: usize| points.iter().zip(&weights).map(|(p, w)| p[i] * w).sum::<f64>() / sum;
    [mean(0), mean(1)]
}

impl Plane {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let (steps, eta) = (self.steps, self.eta);
        anyhow::ensure!((1..=TIMESTEPS).contains(&steps), "steps = {steps}: from 1 to {TIMESTEPS}");
        anyhow::ensure!((0.0..=1.0).contains(&eta), "eta = {eta}: it must be from 0 to 1");
        let device = crate::device();
        let diffusion = Diffusion {
            schedule: Schedule::new(BetaSchedule::Linear, TIMESTEPS),
            prediction_type: PredictionType::Sample,
        };
        let data = self.data.points(&self.mask)?;
        anyhow::ensure!(!data.is_empty(), "mask: mark a pixel of the board");
        let points = data.clone();
        let alpha_bar = diffusion.schedule.alpha_bar.clone();
        let denoise = move |x_t: &Images<Cpu>, t: usize| {
            let values = x_t.as_vec();
            let means = values.chunks(2).flat_map(|x| {
                x0_given_x_t(&points, alpha_bar[t], [x[0] as f64, x[1] as f64]).map(|v| v as f32)
            });
            ops::tensor(x_t.device(), means.collect(), *x_t.shape())
        };
        let timesteps = TimestepSpacing::Trailing.timesteps(TIMESTEPS, steps, 0);
        let mut rngs = sources(self.seed, 0..POINTS as u64);
        let noise = noise_per_image(&device, (POINTS, 2, 1, 1), &mut rngs);
        let mut paths = vec![noise.as_vec()];
        let walk = walk(Ddim::new(diffusion, None, eta), noise, &timesteps, rngs, denoise);
        Ok(Box::new(walk.map(move |step| {
            let x0 = step.x0.as_vec();
            let mut drawing = Drawing::new(SIDE, SIDE);
            for point in &data {
                drawing.dot(place(point), 2.5, palette::DATA, 1.0);
            }
            if self.show == Shown::Lines {
                let now = paths.last().expect("the noise is there");
                for (from, to) in now.chunks(2).zip(x0.chunks(2)) {
                    let line = [from, to].map(|p| place(&[p[0] as f64, p[1] as f64]));
                    drawing.line(&line, palette::PREDICTION, 1.0, 0.6);
                }
                draw_points(&mut drawing, now);
            }
            paths.push(step.next.as_vec());
            if self.show == Shown::Paths {
                for point in (0..POINTS).step_by(ONE_IN) {
                    let path: Vec<_> = paths
                        .iter()
                        .map(|all| place(&[all[2 * point] as f64, all[2 * point + 1] as f64]))
                        .collect();
                    drawing.line(&path, palette::NOISE, 1.0, 0.5);
                }
                draw_points(&mut drawing, &paths[paths.len() - 1]);
            }
            Frame { picture: drawing.finish(), columns: 0, caption: format!("t = {}", step.t) }
        })))
    }
}

fn draw_points(drawing: &mut Drawing, points: &[f32]) {
    for point in points.chunks(2) {
        drawing.dot(place(&[point[0] as f64, point[1] as f64]), 3.0, palette::SIGNAL, 1.0);
    }
}

/// Where a point of the plane is in the picture.
pub fn place(&[x, y]: &[f64; 2]) -> (f64, f64) {
    let middle = SIDE as f64 / 2.0;
    (middle + UNIT * x, middle - UNIT * y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_pixels_are_points_around_the_middle() {
        let mask: Vec<usize> = (0..256).map(|i| [0, 255].contains(&i) as usize).collect();
        let reach = 7.5 * BOARD_STEP;
        assert_eq!(marked(&mask), [[-reach, reach], [reach, -reach]]);
    }

    /// Deep in the noise the best guess is the mean of all points; near the data, the nearest one.
    #[test]
    fn the_best_guess_goes_from_the_mean_to_the_nearest_point() {
        let points = [[1.0, 0.0], [0.0, 2.0], [-4.0, 1.0]];
        let guess = x0_given_x_t(&points, 1e-12, [0.3, -0.2]);
        assert!((guess[0] + 1.0).abs() < 1e-4 && (guess[1] - 1.0).abs() < 1e-4, "{guess:?}");
        let guess = x0_given_x_t(&points, 0.999, [0.1, 1.8]);
        assert!(guess[0].abs() < 1e-6 && (guess[1] - 2.0).abs() < 1e-6, "{guess:?}");
        // Halfway between two points, both count the same.
        let guess = x0_given_x_t(&points[..2], 0.5, [0.5 * 0.5f64.sqrt(), 0.5f64.sqrt()]);
        assert!((guess[0] - 0.5).abs() < 1e-9 && (guess[1] - 1.0).abs() < 1e-9, "{guess:?}");
    }
}
