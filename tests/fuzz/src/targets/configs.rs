//! The configurations of a model and of a classifier.

use std::path::Path;

use ch04_unet::model_dir;
use ch08_conditioning::model;
use ch08_conditioning::ConditioningConfig;
use ch09_evaluation::classifier::{self, Classifier, ClassifierConfig};
use dfdx::prelude::Cpu;
use ops::params;

use super::{accepted, json, network, of_file, put, repair, Run, Target};

pub const TARGETS: &[Target] = &[
    Target {
        name: "unet-config",
        words: &[
            b"\"block_out_channels\": [2, 2]",
            b"\"AttnDownBlock2D\"",
            b"\"UpBlock2D\"",
            b"\"sample_size\": [4, 8]",
            b"\"freq_shift\": 1",
            b"\"layers_per_block\": 64",
            b"\"_new\": 1,",
        ],
        repair: repair::nothing,
        seeds: || vec![json(&network::unet()), newer_unet()],
        open: |folder| part_of_model(folder, "unet/config.json"),
    },
    Target {
        name: "scheduler-config",
        words: &[
            b"\"trained_betas\": [0.1, 0.2]",
            b"\"squaredcos_cap_v2\"",
            b"\"scaled_linear\"",
            b"\"sigmoid\"",
            b"100000",
            b"\"fixed_large\"",
        ],
        repair: repair::nothing,
        seeds: || {
            vec![
                json(&network::scheduler()),
                b"{\"trained_betas\": [0.1, 0.5], \"num_train_timesteps\": 2}".to_vec(),
            ]
        },
        open: |folder| part_of_model(folder, "scheduler/scheduler_config.json"),
    },
    Target {
        name: "model-index",
        words: &[b"\"DDPMPipeline\"", b"\"DDIMPipeline\"", b"\"_class_name\":"],
        repair: repair::nothing,
        seeds: || vec![network::index()],
        open: |folder| part_of_model(folder, "model_index.json"),
    },
    Target {
        name: "conditioning-config",
        words: &[
            b"\"class\": {\"num_classes\": 3}",
            b"\"text\": ",
            b"\"classes\": [\"a\"]",
            b"\"vocabulary\": [\"a\"]",
        ],
        repair: repair::nothing,
        seeds: conditioning_seeds,
        open: open_conditioning,
    },
    Target {
        name: "classifier-config",
        words: &[b"[5, 0, 3]", b"\"questions\": [2]", b"[3, 16, 16]"],
        repair: repair::nothing,
        seeds: || vec![json(&classifier_config())],
        open: open_classifier,
    },
];

/// Reads inputs as one file of a model whose other files are good.
fn part_of_model(folder: &Path, name: &str) -> Run {
    network::write(folder);
    let owned = folder.to_path_buf();
    of_file(folder.join(name), move || model_dir::load(&Cpu::default(), &owned))
}

/// A configuration as a newer version of diffusers would write it.
fn newer_unet() -> Vec<u8> {
    let mut config = serde_json::json!(network::unet());
    (config["_private"], config["future"]) = (1.into(), serde_json::Value::Null);
    config.to_string().into_bytes()
}

fn conditioning_seeds() -> Vec<Vec<u8>> {
    let classes = ConditioningConfig::Class { num_classes: 3 };
    let text = ConditioningConfig::Text(network::text());
    vec![
        json(&network::conditioning(text, &[])),
        json(&network::conditioning(classes, &["cat", "dog", "7"])),
    ]
}

/// Also looks up a class, checks the classes and reads a prompt, as the programs would later.
fn open_conditioning(folder: &Path) -> Run {
    let owned = folder.to_path_buf();
    of_file(folder.join("conditioning/config.json"), move || {
        let file = model::load_file(&files::Disk, &owned)?;
        file.conditioning.network_outline(&network::unet())?;
        accepted(file.class("7"));
        accepted(file.check_classes(&["cat".to_string()]));
        if let ConditioningConfig::Text(text) = &file.conditioning {
            accepted(text.read("a black cat"));
        }
        anyhow::Ok(())
    })
}

fn classifier_config() -> ClassifierConfig {
    let (dataset, questions) = ("cats".to_string(), vec![2, 3]);
    ClassifierConfig {
        dataset,
        shape: [1, 8, 8],
        questions,
        steps: 5,
        batch_size: 4,
        seed: 1,
        accuracy: 0.5,
    }
}

fn open_classifier(folder: &Path) -> Run {
    let mut good = Classifier::<Cpu>::new(&Cpu::default(), classifier_config());
    let weights = params::to_host(&mut good);
    put(&folder.join("weights.safetensors"), &network::safetensors(&weights));
    let owned = folder.to_path_buf();
    of_file(folder.join("config.json"), move || classifier::load(&Cpu::default(), &owned))
}
