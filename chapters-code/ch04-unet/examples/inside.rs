//! What the network that comes with the book computes internally for a few noisy cats.

use ch01_tensors::{batch, Cats, Split};
use ch03_forward::{rng, standard_normal};
use ch04_unet::{model_dir, BlockHook};
use dfdx::prelude::*;
use figures::Picture;
use ops::{AutoDevice, Images};

/// How many cats stand side by side, how large they are, and how deep in noise they are.
const COUNT: usize = 6;
const SIZE: usize = 16;
const TIMESTEP: usize = 200;

// ANCHOR: recorder
/// Where to look: after the last block of each size, down, through the middle, and up.
const STAGES: [&str; 6] = [
    "conv_in",
    "down_blocks.0",
    "down_blocks.1",
    "mid_block",
    "up_blocks.1",
    "up_blocks.2",
];

/// Changes nothing, and keeps the last output of each stage.
#[derive(Default)]
struct Recorder(std::collections::HashMap<String, Images<AutoDevice>>);

impl BlockHook<AutoDevice, NoneTape> for Recorder {
    fn after(
        &mut self,
        stage: &str,
        _block: usize,
        x: Images<AutoDevice>,
    ) -> Images<AutoDevice> {
        self.0.insert(stage.to_string(), x.clone());
        x
    }
}
// ANCHOR_END: recorder

/// The one channel that differs most between the cats, as a picture `SIZE` pixels wide for each
/// cat: -1 and 1 are two standard deviations from the mean.
fn liveliest(x: &Images<AutoDevice>) -> Vec<Vec<f32>> {
    let (_, channels, height, width) = *x.shape();
    let values = x.as_vec();
    let plane = |image: usize, c: usize| {
        &values[(image * channels + c) * height * width..][..height * width]
    };
    let moments = |c: usize| {
        let all: Vec<f32> =
            (0..COUNT).flat_map(|image| plane(image, c).to_vec()).collect();
        let mean = all.iter().sum::<f32>() / all.len() as f32;
        (
            mean,
            (all.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / all.len() as f32)
                .sqrt(),
        )
    };
    let best = (0..channels)
        .max_by(|&a, &b| moments(a).1.total_cmp(&moments(b).1))
        .expect("a channel");
    let (mean, deviation) = moments(best);
    let pixel = |image: usize, i: usize| {
        plane(image, best)[i / SIZE * height / SIZE * width + i % SIZE * width / SIZE]
    };
    let picture = |image| {
        (0..SIZE * SIZE).map(|i| (pixel(image, i) - mean) / (2.0 * deviation)).collect()
    };
    (0..COUNT).map(picture).collect()
}

fn main() -> anyhow::Result<()> {
    let device: AutoDevice = cli::device(0)?;
    let model = model_dir::load(&device, &cli::model_or_shipped(None, "cats"))?;
    let x0 = batch(&device, &Cats::new(Split::HeldOut), &[0, 1, 2, 3, 4, 5]);
    let eps = standard_normal(&device, *x0.shape(), &mut rng(0, 0));
    let x_t = model.diffusion.q_sample(&x0, &[TIMESTEP; COUNT], &eps);
    let mut recorder = Recorder::default();
    let output =
        model.network.forward_with(x_t.clone(), &[TIMESTEP; COUNT], &mut recorder);
    let seen = model.diffusion.x0(&x_t, &[TIMESTEP; COUNT], &output);

    let [shown, drawn] = [x_t, seen].map(|images| images.as_vec());
    let inside: Vec<Vec<f32>> =
        STAGES.iter().flat_map(|&stage| liveliest(&recorder.0[stage])).collect();
    let picture =
        |values, channels| Picture { values, channels, height: SIZE, width: SIZE };
    let colour = |values| {
        std::iter::Iterator::map(<[f32]>::chunks(values, 3 * SIZE * SIZE), |v| {
            picture(v, 3)
        })
    };
    let grey = inside.iter().map(|values| picture(values, 1));
    let pictures: Vec<Picture> =
        colour(&shown).chain(grey).chain(colour(&drawn)).collect();
    Ok(figures::save_png("inside.png", &figures::grid(&pictures, COUNT, 5))?)
}
