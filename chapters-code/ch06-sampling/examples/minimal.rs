// ANCHOR: minimal
//! Everything in one file, from data to a picture: trains a network on cats for about
//! two minutes, and draws sixteen new ones.

use ch01_tensors::{batch, Cats, Dataset, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch04_unet::{model_dir::VarianceType, Preset, UNet};
use ch05_train::{Ema, Optimizer, OptimizerConfig};
use ch06_sampling::{all_timesteps, noise_per_image, sources, walk, Ancestral};
use dfdx::prelude::*;
use ops::{gradient_of, AutoDevice};
use rand::Rng;

const STEPS: u64 = 1000;
const BATCH: usize = 64;
const DRAWN: usize = 16;

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;

    // Data, a process that turns them into noise, and a network that will reverse it.
    let cats = Cats::new(Split::Train);
    let diffusion = Diffusion {
        schedule: Schedule::new(BetaSchedule::Linear, 1000),
        prediction_type: PredictionType::Epsilon,
    };
    let mut rng = rng(0, 0);
    let mut unet = UNet::new(&device, &Preset::Cats.config(cats.shape()), &mut rng)?;

    // Training (DDPM, algorithm 1): noise some cats, and learn what the noise was.
    let config =
        OptimizerConfig { total_steps: STEPS, cooldown: 0.2, ..Default::default() };
    let mut optimizer = Optimizer::new(config, &mut unet);
    let mut average = Ema::new(0.999, &mut unet);
    for step in 0..STEPS {
        let indices = [(); BATCH].map(|()| rng.gen_range(0..cats.len()));
        let timesteps = [(); BATCH].map(|()| rng.gen_range(0..1000));
        let x0 = batch(&device, &cats, &indices);
        let eps = standard_normal(&device, *x0.shape(), &mut rng);
        let x_t = diffusion.q_sample(&x0, &timesteps, &eps);

        let eps_pred = unet.forward(x_t.put_tape(OwnedTape::default()), &timesteps);
        let loss = (eps_pred - eps).square().mean();
        if step % 50 == 0 {
            cli::println!("step {step:>4}: loss {:.3}", loss.as_vec()[0]);
        }

        let gradient =
            gradient_of(&mut unet, loss.backward()).expect("the device works");
        optimizer.update(step, &mut unet, &gradient);
        average.update(step, &mut unet);
    }

    // Sampling (DDPM, algorithm 2): walk from pure noise to cats.
    let unet = average.apply(&unet);
    let denoise = |x_t: &ops::Images<AutoDevice>, t: usize| {
        unet.forward(x_t.clone(), &[t; DRAWN])
    };
    let timesteps = all_timesteps(&diffusion.schedule);
    let solver = Ancestral {
        diffusion,
        variance_type: VarianceType::FixedSmall,
        clip: Some(1.0),
    };
    let mut rngs = sources(0, 0..DRAWN as u64);
    let noise = noise_per_image(&device, (DRAWN, 3, 16, 16), &mut rngs);
    for step in walk(solver, noise, &timesteps, rngs, denoise) {
        if step.t % 100 == 0 {
            cli::println!("timestep {:>3}", step.t);
            figures::save_png("minimal.png", &figures::image_grid(&step.next, 4, 8))?;
        }
    }
    cli::println!("wrote minimal.png");
    Ok(())
}
// ANCHOR_END: minimal
