//! Ways of measuring that flatter a model, tried with three seeds on crowds of 256 cats.

use ch01_tensors::{Cats, Dataset, Split};
use ch04_unet::model_dir::{self, Model};
use ch04_unet::UNet;
use ch06_sampling::{denoiser, noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch09_evaluation::classifier::{self, Classifier};
use ch09_evaluation::{frechet_distance, nearest, share_within, Spread};
use ops::AutoDevice;

const COUNT: usize = 256;
const SEEDS: u64 = 3;
const STEPS: usize = 20;

/// A crowd of cats.
type Crowd = Vec<Vec<f32>>;

fn real(split: Split, first: usize, count: usize) -> Crowd {
    let cats = Cats::new(split);
    (first..first + count).map(|i| cats.image(i)).collect()
}

/// Draws twice as many cats as a crowd has.
fn drawn(device: &AutoDevice, model: &Model<UNet<AutoDevice>>, seed: u64) -> Crowd {
    let timesteps = TimestepSpacing::Trailing.timesteps(1000, STEPS, 0);
    let denoise = denoiser(device, &model.network);
    let batch = |first: u64| {
        let mut rngs = sources(seed, first..first + 64);
        let x = noise_per_image(device, (64, 3, 16, 16), &mut rngs);
        let ddim = Ddim::for_model(model, 0.0);
        walk(ddim, x, &timesteps, rngs, &denoise).finish().as_vec()
    };
    let values: Vec<f32> = (0..2 * COUNT as u64).step_by(64).flat_map(batch).collect();
    values.chunks(768).map(<[f32]>::to_vec).collect()
}

// ANCHOR: mistakes
/// The half of a crowd that is nearest to the training set.
fn picked(crowd: &Crowd, training: &Crowd) -> Crowd {
    let distances = nearest(crowd, training);
    let mut order: Vec<usize> = (0..crowd.len()).collect();
    order.sort_by(|&a, &b| distances[a].difference.total_cmp(&distances[b].difference));
    order[..crowd.len() / 2].iter().map(|&i| crowd[i].clone()).collect()
}

/// The crowds of one seed, each with its name.
fn crowds(all: &Crowd, training: &Crowd, seed: u64) -> [(&'static str, Crowd); 5] {
    let first = seed as usize * COUNT;
    [
        ("other real cats", real(Split::HeldOut, first, COUNT)),
        ("drawn cats", all[..COUNT].to_vec()),
        ("too few of them", all[..COUNT / 4].to_vec()),
        ("the better half of twice as many", picked(all, training)),
        ("copies of training images", training[first..first + COUNT].to_vec()),
    ]
}
// ANCHOR_END: mistakes

/// Fréchet distance, precision, recall, and the median distance to the nearest training image.
fn measure(
    device: &AutoDevice,
    reader: &Classifier<AutoDevice>,
    training: &Crowd,
    crowd: &Crowd,
) -> [f64; 4] {
    let [real, found] =
        [training, crowd].map(|all| classifier::features_of(device, reader, all));
    let mut distances: Vec<f64> =
        nearest(crowd, training).into_iter().map(|found| found.difference).collect();
    distances.sort_by(f64::total_cmp);
    let peers = &real[real.len() - found.len()..];
    [
        frechet_distance(&found, &real),
        100.0 * share_within(&found, peers, 3),
        100.0 * share_within(peers, &found, 3),
        distances[distances.len() / 2],
    ]
}

fn main() -> anyhow::Result<()> {
    cli::set_threads(None)?;
    let device = cli::device(0)?;
    let model = model_dir::load(&device, &cli::shipped("cats"))?;
    let reader = classifier::load(&device, &cli::shipped("classifier-cats"))?;
    let another = Classifier::new(&device, reader.config.clone());
    let training = real(Split::Train, 0, 10_000);

    let mut rows: Vec<(String, Vec<[f64; 4]>)> = Vec::new();
    let mut add = |name: &str, measured| match rows.iter_mut().find(|row| row.0 == name)
    {
        Some(row) => row.1.push(measured),
        None => rows.push((name.into(), vec![measured])),
    };
    for seed in 0..SEEDS {
        let all = drawn(&device, &model, seed);
        for (name, crowd) in crowds(&all, &training, seed) {
            add(name, measure(&device, &reader, &training, &crowd));
        }
        let crowd = all[..COUNT].to_vec();
        let name = "drawn cats, untrained classifier";
        add(name, measure(&device, &another, &training, &crowd));
    }
    cli::println!("{:32} Fréchet       precision  recall    nearest", "");
    for (name, seeds) in rows {
        let column = |i: usize, digits: usize| {
            let values: Vec<f64> = seeds.iter().map(|seed| seed[i]).collect();
            format!("{:.digits$}", Spread::from_values(&values))
        };
        let [frechet, precision, recall, nearest] =
            [column(0, 2), column(1, 0), column(2, 0), column(3, 2)];
        cli::println!(
            "{name:32} {frechet:13} {precision:6} %   {recall:6} %  {nearest}"
        );
    }
    Ok(())
}
