//! What a trained network answers, from little noise to much.

use ch01_tensors::{batch, Cats, Split};
use ch03_forward::{rng, standard_normal};
use ch04_unet::model_dir;
use ops::{AutoDevice, Images};

fn main() -> anyhow::Result<()> {
    let device: AutoDevice = cli::device(0)?;
    let model = model_dir::load(&device, &cli::model_or_shipped(None, "cats"))?;
    let timesteps = [20, 120, 220, 320, 420, 520, 620, 720, 820, 920];
    let x0: Images<AutoDevice> = batch(&device, &Cats::new(Split::HeldOut), &[2; 10]);
    let eps = standard_normal(&device, (10, 3, 16, 16), &mut rng(1, 0));
    let x_t = model.diffusion.q_sample(&x0, &timesteps, &eps);
    let output = model.network.forward(x_t.clone(), &timesteps);
    let predicted = model.diffusion.eps(&x_t, &timesteps, &output);
    let seen = model.diffusion.x0(&x_t, &timesteps, &output);
    Ok(figures::save_png(
        "answers.png",
        &figures::image_rows(&[x_t, eps, predicted, seen], 5),
    )?)
}
