//! A network as small as can be, and the files of a model with this network.

use std::path::Path;

use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::{BlockType, Preset, UNet, UNetConfig};
use ch08_conditioning::model::ConditioningFile;
use ch08_conditioning::{captions, ConditionalUNet, ConditioningConfig, TextConfig, Tokenizer};
use dfdx::prelude::Cpu;
use ops::params::{self, NamedTensors};

use super::{json, put};

/// One level, with attention in the middle.
pub fn unet() -> UNetConfig {
    UNetConfig {
        block_out_channels: vec![2],
        down_block_types: vec![BlockType::DownBlock2D],
        up_block_types: vec![BlockType::UpBlock2D],
        layers_per_block: 1,
        norm_num_groups: 1,
        attention_head_dim: Some(2),
        add_attention: true,
        ..Preset::Tiny.config([1, 4, 4])
    }
}

pub fn scheduler() -> SchedulerConfig {
    SchedulerConfig { num_train_timesteps: 6, beta_end: 0.5, ..SchedulerConfig::default() }
}

pub fn index() -> Vec<u8> {
    br#"{"_class_name": "DDPMPipeline", "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"]}"#
        .to_vec()
}

/// For prompts about cats.
pub fn text() -> TextConfig {
    let vocabulary = Tokenizer::new(captions::vocabulary());
    TextConfig {
        vocabulary,
        max_words: 8,
        width: 2,
        layers: 1,
        heads: 1,
        groups: 1,
        bag_of_words: false,
    }
}

/// What a `conditioning/config.json` holds.
pub fn conditioning(conditioning: ConditioningConfig, classes: &[&str]) -> ConditioningFile {
    let classes = classes.iter().map(|class| class.to_string()).collect();
    ConditioningFile { conditioning, dropout: 0.1, dataset: "cats".into(), classes }
}

fn network() -> ConditionalUNet<Cpu> {
    let conditioning = ConditioningConfig::Text(text());
    let network =
        ConditionalUNet::new(&Cpu::default(), &unet(), &conditioning, &mut ch03_forward::rng(1, 0));
    network.expect("the network can be built")
}

pub fn weights() -> NamedTensors {
    let network = UNet::<Cpu>::new(&Cpu::default(), &unet(), &mut ch03_forward::rng(1, 0));
    params::to_host(&mut network.expect("the network can be built"))
}

/// The bytes of a safetensors file with these tensors.
pub fn safetensors(tensors: &NamedTensors) -> Vec<u8> {
    params::to_safetensors(tensors, &[("format", "pt".into())])
}

/// The files of a model that reads prompts.
pub fn files() -> [(&'static str, Vec<u8>); 6] {
    let conditioner = params::to_host(&mut network().conditioner);
    let file = conditioning(ConditioningConfig::Text(text()), &[]);
    [
        ("model_index.json", index()),
        ("unet/config.json", json(&unet())),
        ("unet/diffusion_pytorch_model.safetensors", safetensors(&weights())),
        ("scheduler/scheduler_config.json", json(&scheduler())),
        ("conditioning/config.json", json(&file)),
        ("conditioning/weights.safetensors", safetensors(&conditioner)),
    ]
}

/// Writes these files.
pub fn write(folder: &Path) {
    files().into_iter().for_each(|(name, bytes)| put(&folder.join(name), &bytes));
}
