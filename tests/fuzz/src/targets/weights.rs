//! Safetensors files, alone and in shards.

use std::path::Path;

use ch04_unet::model_dir;
use dfdx::prelude::Cpu;
use ops::params::NamedTensors;

use super::{network, of_file, put, repair, Run, Target};

pub const TARGETS: &[Target] = &[
    Target {
        name: "weights",
        words: &[
            b"\"F16\"",
            b"\"BF16\"",
            b"\"F32\"",
            b"\"F64\"",
            b"\"F8_E4M3\"",
            b"\"shape\":[",
            b"\"data_offsets\":[0,",
        ],
        repair: |bytes| repair::safetensors(bytes),
        seeds: || {
            vec![network::safetensors(&network::weights()), network::safetensors(&old_names())]
        },
        open: |folder| read_beside(folder, "unet/diffusion_pytorch_model.safetensors"),
    },
    Target {
        name: "shards",
        words: &[
            b"\"weight_map\"",
            b"one.safetensors",
            b"two.safetensors",
            b"../",
            b"/dev/zero",
            b"\"metadata\": {}",
        ],
        repair: repair::nothing,
        seeds: || vec![shard_list()],
        open: open_shards,
    },
];

/// Reads inputs as one file of a model whose other files are good.
fn read_beside(folder: &Path, name: &str) -> Run {
    network::write(folder);
    let owned = folder.to_path_buf();
    of_file(folder.join(name), move || model_dir::load(&Cpu::default(), &owned))
}

/// The weights, with the linear maps of attention named as in older versions of diffusers.
fn old_names() -> NamedTensors {
    let old = |name: &str| {
        name.replace("to_q", "query").replace("to_k", "key").replace("to_out.0", "proj_attn")
    };
    network::weights().into_iter().map(|(name, tensor)| (old(&name), tensor)).collect()
}

const SHARDS: [&str; 2] = ["one.safetensors", "two.safetensors"];

/// The file that a tensor is in.
fn shard(name: &str) -> &'static str {
    SHARDS[name.starts_with("up") as usize]
}

fn shard_list() -> Vec<u8> {
    let names =
        network::weights().into_keys().map(|name| format!("\"{name}\": \"{}\"", shard(&name)));
    let names: Vec<String> = names.collect();
    format!("{{\"metadata\": {{\"total_size\": 1}}, \"weight_map\": {{{}}}}}", names.join(", "))
        .into_bytes()
}

fn open_shards(folder: &Path) -> Run {
    let run = read_beside(folder, "unet/diffusion_pytorch_model.safetensors.index.json");
    for name in SHARDS {
        let tensors = network::weights().into_iter().filter(|(tensor, _)| shard(tensor) == name);
        put(&folder.join("unet").join(name), &network::safetensors(&tensors.collect()));
    }
    run
}
