//! What a trained network answers, from little noise to much.

use ch01_tensors::{batch, Cats, Split};
use ch03_forward::{predict_x0, q_sample, rng, standard_normal, PredictionType};
use ch06_sampling::program;
use ops::{AutoDevice, Images};

fn main() -> anyhow::Result<()> {
    let device: AutoDevice = cli::device(0)?;
    let (model, _) = program::open(&device, None)?;
    let timesteps = [20, 120, 220, 320, 420, 520, 620, 720, 820, 920];
    let x0: Images<AutoDevice> = batch(&device, &Cats::new(Split::HeldOut), &[2; 10]);
    let eps = standard_normal(&device, (10, 3, 16, 16), &mut rng(1, 0));
    let x_t = q_sample(&model.schedule, &x0, &timesteps, &eps);
    let answer = model.unet.forward(x_t.clone(), &timesteps);
    let seen =
        predict_x0(PredictionType::Epsilon, &model.schedule, &x_t, &timesteps, &answer);
    Ok(figures::save_png(
        "answers.png",
        &figures::image_rows(&[x_t, eps, answer, seen], 5),
    )?)
}
