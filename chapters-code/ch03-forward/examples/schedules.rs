//! What the four schedules do to the same cat, with the same noise.

use ch01_tensors::{batch, Cats, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

/// Every 111th timestep.
const COLUMNS: usize = 10;

fn main() -> Result<(), figures::FigureError> {
    let device: AutoDevice = cli::device(0).expect("a device");
    let x0 = batch(&device, &Cats::new(Split::Train), &[5; COLUMNS]);
    let one = standard_normal(&device, (1, 3, 16, 16), &mut rng(0, 0)).as_vec();
    let eps = ops::tensor(&device, one.repeat(COLUMNS), *x0.shape());
    let timesteps: Vec<usize> = (0..COLUMNS).map(|i| i * 111).collect();
    let rows: Vec<Images<AutoDevice>> = BetaSchedule::ALL
        .into_iter()
        .map(|kind| {
            let schedule = Schedule::new(kind, 1000);
            let prediction_type = PredictionType::Epsilon;
            Diffusion { schedule, prediction_type }.q_sample(&x0, &timesteps, &eps)
        })
        .collect();
    figures::save_png("noising_schedules.png", &figures::image_rows(&rows, 6))
}
