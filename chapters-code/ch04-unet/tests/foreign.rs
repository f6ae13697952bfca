//! Models that other programs wrote: where their files lie, what their tensors are
//! called, which numbers they hold; and models that cannot be right.

use std::fs;
use std::path::Path;
use std::time::Instant;

use ch04_unet::model_dir::{self, ModelError, SchedulerConfig};
use ch04_unet::{BlockType, Preset, UNet, UNetConfig};
use ops::params::{self, HostTensor, NamedTensors, Outline};
use ops::AutoDevice;
use serde_json::{json, Value};
use tempfile::TempDir;

/// A network with attention on the way down, in the middle and on the way up.
fn config() -> UNetConfig {
    use BlockType::*;
    UNetConfig {
        block_out_channels: vec![4, 8],
        down_block_types: vec![DownBlock2D, AttnDownBlock2D],
        up_block_types: vec![AttnUpBlock2D, UpBlock2D],
        layers_per_block: 1,
        norm_num_groups: 2,
        attention_head_dim: Some(4),
        add_attention: true,
        ..Preset::Tiny.config([1, 8, 8])
    }
}

fn scheduler() -> SchedulerConfig {
    SchedulerConfig { num_train_timesteps: 77, beta_end: 0.05, ..Default::default() }
}

fn weights() -> NamedTensors {
    let device = ops::open_device(0).unwrap();
    params::to_host(
        &mut UNet::new(&device, &config(), &mut ch03_forward::rng(3, 0)).unwrap(),
    )
}

/// A pipeline as this crate writes it.
fn model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    model_dir::save(folder.path(), &config(), &weights(), &scheduler()).unwrap();
    folder
}

fn load(folder: &Path) -> Result<model_dir::Model<UNet<AutoDevice>>, ModelError> {
    model_dir::load(&ops::open_device(0).unwrap(), folder)
}

fn loaded(folder: &Path) -> (NamedTensors, SchedulerConfig, Vec<String>) {
    let mut model = load(folder).unwrap();
    (params::to_host(&mut model.network), model.scheduler, model.notes)
}

fn rejected(folder: &Path) -> String {
    let start = Instant::now();
    let error = anyhow::Error::from(load(folder).expect_err("it must be rejected"));
    let error = format!("{error:#}");
    assert!(
        start.elapsed().as_secs_f64() < 1.0,
        "{error}: after {:?}",
        start.elapsed()
    );
    assert!(!error.contains('\n'), "{error}");
    error
}

/// Changes fields of a JSON file.
fn change(path: &Path, changes: &Value) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for (field, new) in changes.as_object().unwrap() {
        value[field] = new.clone();
    }
    fs::write(path, value.to_string()).unwrap();
}

const UNET: &str = "unet/config.json";
const SCHEDULER: &str = "scheduler/scheduler_config.json";
const WEIGHTS: &str = "unet/diffusion_pytorch_model.safetensors";

#[test]
fn every_layout_is_read_with_its_scheduler() {
    let model = model();
    let at = |path: &str| model.path().join(path);
    let same = |folder: &Path| {
        assert_eq!(
            loaded(folder),
            (weights(), scheduler(), vec![]),
            "{}",
            folder.display()
        )
    };
    same(&at(""));
    same(&at("unet"));
    fs::remove_file(at("model_index.json")).unwrap();
    same(&at(""));

    fs::rename(at(SCHEDULER), at("scheduler_config.json")).unwrap();
    same(&at(""));
    fs::rename(at("unet"), at("flat")).unwrap();
    fs::rename(at("scheduler_config.json"), at("flat/scheduler_config.json")).unwrap();
    same(&at("flat"));
    fs::write(at("flat/model_index.json"), r#"{"_class_name": "DDPMPipeline"}"#)
        .unwrap();
    same(&at("flat"));

    fs::remove_file(at("flat/scheduler_config.json")).unwrap();
    assert!(
        rejected(&at("flat")).contains("scheduler_config.json"),
        "a pipeline must have a scheduler"
    );
    fs::remove_file(at("flat/model_index.json")).unwrap();
    let (tensors, config, notes) = loaded(&at("flat"));
    assert_eq!((tensors, config), (weights(), SchedulerConfig::default()));
    assert!(
        notes.len() == 1 && notes[0].contains("there is no scheduler_config.json"),
        "{notes:?}"
    );

    assert!(rejected(model.path()).contains("is not a model directory"));
}

/// Replaces the weights with these.
fn store(folder: &Path, name: &str, tensors: &NamedTensors) {
    fs::write(folder.join("unet").join(name), params::to_safetensors(tensors, &[]))
        .unwrap();
}

#[test]
fn old_names_of_attention_are_read() {
    let model = model();
    let old = |name: &str| {
        let maps = [
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ];
        maps.iter().fold(name.to_string(), |name, (new, old)| {
            name.replace(&format!(".{new}."), &format!(".{old}."))
        })
    };
    for convolutions in [false, true] {
        let mut renamed = NamedTensors::new();
        let mut changed = 0;
        for (name, mut tensor) in weights() {
            changed += (old(&name) != name) as usize;
            if convolutions && old(&name) != name && name.ends_with("weight") {
                tensor.shape.extend([1, 1]);
            }
            renamed.insert(old(&name), tensor);
        }
        assert_eq!(changed, 8 * 4, "four attentions with four maps of two tensors");
        store(model.path(), "diffusion_pytorch_model.safetensors", &renamed);
        assert_eq!(loaded(model.path()).0, weights());
        let twice = weights()["mid_block.attentions.0.to_q.bias"].clone();
        renamed.insert("mid_block.attentions.0.to_q.bias".into(), twice);
        store(model.path(), "diffusion_pytorch_model.safetensors", &renamed);
        assert!(rejected(model.path())
            .contains("'mid_block.attentions.0.to_q.bias' is there twice"));
    }
}

/// Writes the weights to two files, with an index.
fn shard(folder: &Path, index: &str, names: [&str; 2]) {
    let (mut shards, mut map) =
        ([NamedTensors::new(), NamedTensors::new()], serde_json::Map::new());
    for (i, (name, tensor)) in weights().into_iter().enumerate() {
        map.insert(name.clone(), names[i % 2].into());
        shards[i % 2].insert(name, tensor);
    }
    for (name, shard) in names.iter().zip(&shards) {
        store(folder, name, shard);
    }
    let value = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    fs::write(folder.join("unet").join(index), value.to_string()).unwrap();
}

#[test]
fn shards_and_variants_are_read() {
    let model = model();
    let unet = |name: &str| model.path().join("unet").join(name);
    fs::remove_file(model.path().join(WEIGHTS)).unwrap();
    assert!(rejected(model.path())
        .contains("there is no diffusion_pytorch_model.safetensors"));
    fs::write(unet("diffusion_pytorch_model.bin"), b"PK").unwrap();
    let error = rejected(model.path());
    assert!(
        error.contains("model.bin: pickled")
            && error.contains("safe_serialization=True"),
        "{error}"
    );

    store(model.path(), "diffusion_pytorch_model.fp16.safetensors", &weights());
    assert_eq!(loaded(model.path()).0, weights());
    fs::remove_file(unet("diffusion_pytorch_model.fp16.safetensors")).unwrap();

    let names = ["1", "2"]
        .map(|part| format!("diffusion_pytorch_model-0000{part}-of-00002.safetensors"));
    let names = [names[0].as_str(), names[1].as_str()];
    for index in ["fp16.json", "json"] {
        let index = format!("diffusion_pytorch_model.safetensors.index.{index}");
        shard(model.path(), &index, names);
        assert_eq!(loaded(model.path()).0, weights());
    }
    let index = "diffusion_pytorch_model.safetensors.index.json";
    store(model.path(), names[1], &weights());
    let error = rejected(model.path());
    assert!(
        error.contains("-00002-of-") && error.contains("is there twice"),
        "{error}"
    );
    fs::remove_file(unet(names[1])).unwrap();
    assert!(rejected(model.path()).contains("-00002-of-00002"));
    for path in ["../config.json", "/etc/passwd", "a/b", "..", ".", "", "./a"] {
        fs::write(
            unet(index),
            json!({ "weight_map": { "conv_in.weight": path } }).to_string(),
        )
        .unwrap();
        let error = rejected(model.path());
        assert!(
            error.contains(index) && error.contains(&format!("'{path}'")),
            "{error}"
        );
    }
    fs::write(unet(index), r#"{"weight_map": {}}"#).unwrap();
    assert!(rejected(model.path()).contains("'conv_in.weight' is missing"));
    fs::write(unet(index), r#"{"weight_map": {"conv_in.weight": 3}}"#).unwrap();
    assert!(rejected(model.path()).contains("weight_map.conv_in.weight: invalid type"));
}

#[test]
fn unknown_fields_are_ignored_with_a_note_or_rejected() {
    for (file, other) in [(UNET, "rho"), (SCHEDULER, "extra")] {
        let model = model();
        let path = model.path().join(file);
        let harmless =
            json!({ "_name_or_path": "a/b", "new_thing": null, "newer_thing": false });
        change(&path, &harmless);
        let (_, _, notes) = loaded(model.path());
        assert_eq!(notes.len(), 1, "{notes:?}");
        for word in [file, "_name_or_path, new_thing, newer_thing"] {
            assert!(notes[0].contains(word), "{}", notes[0]);
        }
        for value in
            [json!(true), json!(0), json!(1.5), json!("x"), json!([]), json!({})]
        {
            change(&path, &json!({ other: value }));
            let error = rejected(model.path());
            assert!(
                error.contains(file) && error.contains(&format!("{other} is {value}")),
                "{error}"
            );
        }
    }
    // Fields that other schedulers left in the file.
    let model = model();
    change(
        &model.path().join(SCHEDULER),
        &json!({ "set_alpha_to_one": true, "solver_order": 2 }),
    );
    assert!(loaded(model.path()).2[0].contains("set_alpha_to_one, solver_order"));
    change(&model.path().join(SCHEDULER), &json!({ "_class_name": "DDIMScheduler" }));
    let error = rejected(model.path());
    assert!(
        error.contains("_class_name is \"DDIMScheduler\"")
            && error.contains("DDPMScheduler.from_config"),
        "{error}"
    );
}

#[test]
fn values_of_the_wrong_kind_name_their_field() {
    for (file, field, value, words) in [
        (
            UNET,
            "block_out_channels",
            json!([4, "8"]),
            "block_out_channels[1]: invalid type",
        ),
        (
            UNET,
            "block_out_channels",
            json!([4, -8]),
            "block_out_channels[1]: invalid value",
        ),
        (
            UNET,
            "down_block_types",
            json!(["DownBlock2D", "SkipDownBlock2D"]),
            "down_block_types[1]: unknown variant",
        ),
        (UNET, "sample_size", json!("big"), "sample_size: a whole number or two"),
        (UNET, "freq_shift", json!(1e300), "freq_shift: invalid type"),
        (
            SCHEDULER,
            "variance_type",
            json!("learned"),
            "variance_type: unknown variant",
        ),
        (SCHEDULER, "beta_start", json!(null), "beta_start: invalid type: null"),
        (
            SCHEDULER,
            "trained_betas",
            json!([0.1, "x"]),
            "trained_betas[1]: invalid type",
        ),
    ] {
        let model = model();
        change(&model.path().join(file), &json!({ field: value }));
        let error = rejected(model.path());
        assert!(error.contains(file) && error.contains(words), "{error}");
    }
}

/// Every configuration with a size beyond all reason is rejected at once, before the memory that it
/// calls for is allocated.
#[test]
fn sizes_beyond_all_reason_name_their_field() {
    let (huge, big) = (1u64 << 63, 1u64 << 40);
    let levels = vec![4; 66];
    let unet = [
        ("block_out_channels", json!([huge, huge])),
        ("block_out_channels", json!([4, 0])),
        ("block_out_channels", json!([])),
        ("block_out_channels", json!(levels)),
        ("layers_per_block", json!(1_000_000)),
        ("layers_per_block", json!(0)),
        ("sample_size", json!(big)),
        ("sample_size", json!([8, huge])),
        ("sample_size", json!(0)),
        ("in_channels", json!(huge)),
        ("out_channels", json!(0)),
        ("time_embedding_dim", json!(huge)),
        ("time_embedding_dim", json!(0)),
        ("attention_head_dim", json!(huge)),
        ("attention_head_dim", json!(0)),
        ("norm_num_groups", json!(huge)),
        ("norm_num_groups", json!(0)),
        ("attn_norm_num_groups", json!(huge)),
        ("freq_shift", json!(2)),
        ("freq_shift", json!(i64::MAX)),
        ("norm_eps", json!(-1e-5)),
        ("norm_eps", json!(1e300)),
        ("mid_block_scale_factor", json!(1e-300)),
        ("mid_block_scale_factor", json!(0)),
        ("downsample_padding", json!(huge)),
    ];
    let scheduler = [
        ("num_train_timesteps", json!(10_000_000_000u64)),
        ("num_train_timesteps", json!(0)),
        ("beta_end", json!(5)),
        ("beta_end", json!(-0.1)),
        ("beta_start", json!(0)),
        ("beta_start", json!(0.5)),
        ("clip_sample_range", json!(-1)),
        ("clip_sample_range", json!(1e-300)),
        ("clip_sample_range", json!(1e300)),
        ("trained_betas", json!([0.1, 0.2])),
        ("trained_betas", json!([])),
        ("trained_betas", json!([0.1, 2])),
        ("trained_betas", json!(vec![1e-30; 77])),
        ("trained_betas", json!(vec![0.99999; 77])),
        ("steps_offset", json!(1)),
        ("thresholding", json!(true)),
    ];
    let all = unet
        .iter()
        .map(|case| (UNET, case))
        .chain(scheduler.iter().map(|case| (SCHEDULER, case)));
    for (file, (field, value)) in all {
        let model = model();
        change(&model.path().join(file), &json!({ *field: value }));
        let error = rejected(model.path());
        assert!(
            error.contains(&format!("{file}: {field} is ")),
            "{field} {value}: {error}"
        );
    }
}

/// Ten gigabytes according to the configuration, but kilobytes in the file.
#[test]
fn a_configuration_is_compared_with_the_weights_before_it_is_built() {
    for (changes, words) in [
        (
            json!({ "block_out_channels": [16_384, 16_384] }),
            "'conv_in.weight' has shape [4, 1, 3, 3]",
        ),
        (
            json!({ "layers_per_block": 64 }),
            "'down_blocks.0.resnets.1.norm1.weight' is missing",
        ),
        (
            json!({ "time_embedding_dim": 65_536 }),
            "'time_embedding.linear_1.weight' has shape [16, 4]",
        ),
        (json!({ "in_channels": 16_384 }), "needs [4, 16384, 3, 3]"),
        (
            json!({ "add_attention": false }),
            "'mid_block.attentions.0.group_norm.bias' does not belong",
        ),
    ] {
        let model = model();
        change(&model.path().join(UNET), &changes);
        let error = rejected(model.path());
        assert!(error.contains(words) && error.contains(WEIGHTS), "{changes}: {error}");
    }
}

#[test]
fn an_outline_is_that_of_the_network() {
    let device = ops::open_device(0).unwrap();
    let rng = &mut ch03_forward::rng(0, 0);
    let presets = [Preset::Cats, Preset::Mnist, Preset::Tiny]
        .map(|preset| preset.config([3, 16, 16]));
    let deep = UNetConfig {
        layers_per_block: 3,
        time_embedding_dim: Some(7),
        in_channels: 2,
        ..config()
    };
    for config in presets.into_iter().chain([config(), deep]) {
        let mut unet = UNet::new(&device, &config, rng).unwrap();
        assert_eq!(config.outline().unwrap(), Outline::for_model(&mut unet));
    }
    assert_eq!(
        Preset::DdpmCifar10.config([3, 32, 32]).outline().unwrap().count(),
        35_746_307
    );
}

#[test]
fn a_tensor_of_no_network_is_named() {
    let model = model();
    let mut tensors = weights();
    tensors.insert("query".into(), HostTensor { shape: vec![1], values: vec![0.0] });
    store(model.path(), "diffusion_pytorch_model.safetensors", &tensors);
    assert!(rejected(model.path()).contains("'query' does not belong"));
}
