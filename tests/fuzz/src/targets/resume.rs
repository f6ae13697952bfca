//! The files that a training run is resumed from.

use std::path::Path;

use ch01_tensors::{DataArgs, DatasetName};
use ch04_unet::ConfigError;
use ch05_train::session::{read_data, Metrics};
use ch05_train::{CheckpointError, OptimizerConfig, TrainConfig, Trainer, TRAINING};
use dfdx::prelude::Cpu;
use ops::layers::Linear;
use ops::params::{self, HostTensor, Outline};

use super::{accepted, json, network, of_file, put, repair, Run, Target};

pub const TARGETS: &[Target] = &[
    Target {
        name: "training-config",
        words: &[
            b"\"optimizer\": {}",
            b"\"batch_size\": 0",
            b"\"total_steps\": 9",
            b"\"beta1\": 1",
            b"\"eps\": -1",
        ],
        repair: repair::nothing,
        seeds: || vec![json(&config())],
        open: |folder| resumed(folder, "config.json"),
    },
    Target {
        name: "training-state",
        words: &[
            b"\"step\":\"9\"",
            b"\"ema.weight\"",
            b"\"__metadata__\"",
            b"\"F16\"",
            b"\"shape\":[1]",
        ],
        repair: |bytes| repair::safetensors(bytes),
        seeds: || vec![state()],
        open: |folder| resumed(folder, "state.safetensors"),
    },
    Target {
        name: "metrics",
        words: &[b"step,", b"\n1,1,1,1\n", b"\r\n", b"1000000000000", b"1000000000001"],
        repair: repair::nothing,
        seeds: || vec![METRICS.into()],
        open: |folder| curves(folder, "metrics.csv"),
    },
    Target {
        name: "heldout",
        words: &[b"step,", b"\n2,1,1,1,1,1,1,1,1,1,1\n", b"\r\n", b"1000000000000"],
        repair: repair::nothing,
        seeds: || vec![HELDOUT.into()],
        open: |folder| curves(folder, "heldout.csv"),
    },
    Target {
        name: "data",
        words: &[
            b"\"cats\"",
            b"\"mnist\"",
            b"\"folder\"",
            b"\"#204060\"",
            b"\"image_size\": 8",
            b"\"image_channels\": 2",
        ],
        repair: repair::nothing,
        seeds: data_seeds,
        open: open_data,
    },
];

fn config() -> TrainConfig {
    let (unet, scheduler, optimizer) =
        (network::unet(), network::scheduler(), OptimizerConfig::default());
    TrainConfig {
        unet,
        scheduler,
        objective: Default::default(),
        optimizer,
        batch_size: 4,
        ema_decay: 0.9,
        seed: 3,
    }
}

/// The state of a network that is one small linear map.
fn state() -> Vec<u8> {
    let tensor = |shape: &[usize]| HostTensor { shape: shape.into(), values: vec![0.5; 4] };
    let shapes = [("ema", &[4][..]), ("m", &[4]), ("v", &[4]), ("weights", &[2, 2])];
    let tensors = shapes.map(|(kind, shape)| (format!("{kind}.weight"), tensor(shape)));
    params::to_safetensors(&tensors.into(), &[("step", "7".into())])
}

fn outline() -> Outline {
    Outline::for_model(&mut map(&mut ch03_forward::rng(1, 0)))
}

fn map(rng: &mut impl rand::Rng) -> Linear<Cpu> {
    Linear::without_bias(&Cpu::default(), rng, 2, 2)
}

/// Reads inputs as one of the two files of a state whose other file is good. The tensors of the
/// configured network are listed, but that network is not built.
fn resumed(folder: &Path, name: &str) -> Run {
    let training = folder.join(TRAINING);
    put(&training.join("config.json"), &json(&config()));
    put(&training.join("state.safetensors"), &state());
    let owned = folder.to_path_buf();
    of_file(training.join(name), move || resume(&owned))
}

fn resume(folder: &Path) -> Result<Trainer<Cpu, Linear<Cpu>>, CheckpointError> {
    let listed = |config: &TrainConfig| config.unet.outline().map(|_| outline());
    let built = |_: &TrainConfig, zeros: &mut _| Ok::<_, ConfigError>(map(zeros));
    Trainer::load_state(&Cpu::default(), folder, listed, built)
}

const METRICS: &str =
    "step,loss,gradient_norm,learning_rate\n0,1.02,3.5,0.0001\n1,0.97,3.1,0.0002\n";
const HELDOUT: &str =
    "step,bucket_0,bucket_1,bucket_2,bucket_3,bucket_4,bucket_5,bucket_6,bucket_7,bucket_8,\
    bucket_9\n2,0.9,0.8,0.7,0.6,0.5,0.4,0.3,0.2,0.1,0.05\n\
    4,0.9,0.8,0.7,0.6,0.5,0.4,0.3,0.2,0.1,0.05\n";

/// Reads inputs as one of the two tables of curves, and draws what was read.
fn curves(folder: &Path, name: &str) -> Run {
    let training = folder.join(TRAINING);
    for (name, content) in [("metrics.csv", METRICS), ("heldout.csv", HELDOUT)] {
        put(&training.join(name), content.as_bytes());
    }
    let (owned, out) = (folder.to_path_buf(), folder.join("drawn"));
    of_file(training.join(name), move || Metrics::load(&owned, 1_000)?.save(&out))
}

fn data_seeds() -> Vec<Vec<u8>> {
    let all = r##"{"dataset": "folder", "data_dir": "somewhere", "image_size": 8,
        "image_channels": 1, "background": "#204060"}"##;
    vec![all.into(), br#"{"dataset": "cats", "data_dir": null, "image_size": 48}"#.to_vec()]
}

/// Also opens the data set, which can succeed only for the cats, because they need no files.
fn open_data(folder: &Path) -> Run {
    let (owned, path) = (folder.to_path_buf(), folder.join(TRAINING).join("data.json"));
    Box::new(move |input| {
        put(&path, input);
        let data =
            read_data(&owned).map(|data| DataArgs { data_dir: Some("/nowhere".into()), ..data });
        accepted(data.map(|data| {
            data.dataset == DatasetName::Cats || !accepted(data.open(ch01_tensors::Split::Train))
        }))
    })
}
