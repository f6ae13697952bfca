//! Chapter 3: a cat, noised to any timestep.

use ch01_tensors::{batch, Cats, Dataset, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use dfdx::prelude::*;
use serde::Deserialize;

use crate::{frame, Frames};

/// How many timesteps there are.
const TIMESTEPS: usize = 1000;

/// x0, x_t and eps.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noising {
    t: usize,
    schedule: BetaSchedule,
    /// Which cat, and which noise.
    cat: usize,
}

impl Noising {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let (t, cats) = (self.t, Cats::new(Split::Train));
        anyhow::ensure!(
            t < TIMESTEPS,
            "t = {t}: the schedule has timesteps 0 to {}",
            TIMESTEPS - 1
        );
        anyhow::ensure!(
            self.cat < cats.len(),
            "cat {}: there are cats 0 to {}",
            self.cat,
            cats.len() - 1
        );
        let device = crate::device();
        let diffusion = Diffusion {
            schedule: Schedule::new(self.schedule, TIMESTEPS),
            prediction_type: PredictionType::Epsilon,
        };
        let x0 = batch(&device, &cats, &[self.cat]);
        let eps = standard_normal(&device, *x0.shape(), &mut rng(0, self.cat as u64));
        let x_t = diffusion.q_sample(&x0, &[t], &eps);
        let (signal, noise) = diffusion.signal_and_noise(&[t]);
        let caption =
            format!("t = {t}: {:.3} of the cat and {:.3} of the noise", signal[0], noise[0]);
        Ok(Box::new(std::iter::once(frame(&[&x0, &x_t, &eps], 3, caption))))
    }
}
