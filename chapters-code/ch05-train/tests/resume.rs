//! Invalid files of a training run are rejected, with an error that names them, before they cost
//! memory or time.

use std::fs;
use std::path::Path;
use std::time::Instant;

use ch04_unet::Preset;
use ch05_train::{OptimizerConfig, TrainConfig, Trainer, MAX_STEPS};
use ops::params::{self, HostTensor, NamedTensors};
use ops::AutoDevice;
use serde_json::{json, Value};

fn config() -> TrainConfig {
    TrainConfig {
        unet: Preset::Tiny.config([1, 8, 8]),
        objective: Default::default(),
        scheduler: Default::default(),
        optimizer: OptimizerConfig::default(),
        batch_size: 2,
        ema_decay: 0.9,
        seed: 1,
    }
}

fn rejected(folder: &Path) -> String {
    let (device, start) = (ops::open_device(0).unwrap(), Instant::now());
    let error =
        Trainer::<AutoDevice>::load(&device, folder).expect_err("it must be rejected");
    let error = format!("{:#}", anyhow::Error::from(error));
    assert!(
        start.elapsed().as_secs_f64() < 1.0,
        "{error}: after {:?}",
        start.elapsed()
    );
    assert!(!error.contains('\n'), "{error}");
    error
}

fn saved() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Trainer::new(&ops::open_device(0).unwrap(), config())
        .unwrap()
        .save(folder.path())
        .unwrap();
    folder
}

#[test]
fn settings_that_cannot_be_right_are_named() {
    let folder = saved();
    let path = folder.path().join("training/config.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (place, field, value, words) in [
        ("", "batch_size", json!(0), "batch_size is 0"),
        (
            "",
            "batch_size",
            json!(1_000_000_000_000_000_000u64),
            "batch_size is 1000000000000000000",
        ),
        ("", "ema_decay", json!(1), "ema_decay is 1.0"),
        ("", "ema_decay", json!(-0.1), "ema_decay is -0.1"),
        ("", "extra", json!(null), "unknown field `extra`"),
        ("/optimizer", "eps", json!(-1e-8), "optimizer.eps is -1e-8"),
        ("/optimizer", "eps", json!(0), "optimizer.eps is 0.0"),
        ("/optimizer", "beta1", json!(5), "optimizer.beta1 is 5.0"),
        ("/optimizer", "beta2", json!(0.999999999), "optimizer.beta2 is 0.999999999"),
        ("/optimizer", "learning_rate", json!(-1), "optimizer.learning_rate is -1.0"),
        (
            "/optimizer",
            "learning_rate",
            json!(null),
            "optimizer.learning_rate: invalid type",
        ),
        (
            "/optimizer",
            "learning_rate",
            json!(1e300),
            "optimizer.learning_rate is 1e300",
        ),
        ("/optimizer", "weight_decay", json!(-1), "optimizer.weight_decay is -1.0"),
        (
            "/optimizer",
            "max_gradient_norm",
            json!(0),
            "optimizer.max_gradient_norm is 0.0",
        ),
        ("/optimizer", "cooldown", json!(1.5), "optimizer.cooldown is 1.5"),
        ("/optimizer", "extra", json!(1), "optimizer.extra: unknown field"),
        ("/unet", "layers_per_block", json!(1_000_000), "layers_per_block is 1000000"),
        ("/unet", "extra", json!(1), "unet.extra: unknown field"),
        (
            "/scheduler",
            "num_train_timesteps",
            json!(10_000_000_000u64),
            "num_train_timesteps is 10000000000",
        ),
    ] {
        let mut bad = good.clone();
        bad.pointer_mut(place).unwrap()[field] = value;
        fs::write(&path, bad.to_string()).unwrap();
        let error = rejected(folder.path());
        assert!(
            error.contains("training/config.json: ") && error.contains(words),
            "{words}: {error}"
        );
    }
    // Gigabytes according to the settings, but kilobytes in the file.
    let mut bad = good.clone();
    bad["unet"]["block_out_channels"] = json!([16_384, 16_384]);
    fs::write(&path, bad.to_string()).unwrap();
    let error = rejected(folder.path());
    assert!(
        error.contains(
            "state.safetensors: tensor 'weights.conv_in.weight' has shape [8, 1, 3, 3]"
        ),
        "{error}"
    );
}

#[test]
fn states_that_cannot_be_right_are_named() {
    let folder = saved();
    let path = folder.path().join("training/state.safetensors");
    let good = params::from_safetensors(&fs::read(&path).unwrap()).unwrap().0;
    let write = |tensors: &NamedTensors, step: &str| {
        fs::write(&path, params::to_safetensors(tensors, &[("step", step.into())]))
            .unwrap();
    };
    for step in ["9223372036854775808", "1000000000001", "-1", "1.5", "NaN", ""] {
        write(&good, step);
        let error = rejected(folder.path());
        assert!(
            error.contains("state.safetensors")
                && error.contains(&format!("'step' is {step},")),
            "{error}"
        );
    }
    fs::write(&path, params::to_safetensors(&good, &[])).unwrap();
    assert!(rejected(folder.path()).contains("'step' is missing"));
    let bad = |change: &dyn Fn(&mut NamedTensors), words: &str| {
        let mut tensors = good.clone();
        change(&mut tensors);
        write(&tensors, "3");
        let error = rejected(folder.path());
        assert!(
            error.contains("state.safetensors") && error.contains(words),
            "{words}: {error}"
        );
    };
    let one = || HostTensor { shape: vec![1], values: vec![0.0] };
    bad(&|t| drop(t.remove("m.conv_in.bias")), "'m.conv_in.bias' is missing");
    bad(&|t| drop(t.insert("v.more".into(), one())), "'v.more' does not belong");
    bad(&|t| drop(t.insert("more".into(), one())), "'more' does not belong");
    bad(
        &|t| drop(t.insert("ema.conv_in.bias".into(), one())),
        "'ema.conv_in.bias' has shape [1]",
    );
    bad(
        &|t| t.get_mut("v.conv_in.bias").unwrap().values[0] = f32::NAN,
        "'v.conv_in.bias' holds a value",
    );
    write(&good, &MAX_STEPS.to_string());
    let device = ops::open_device(0).unwrap();
    assert_eq!(
        Trainer::<AutoDevice>::load(&device, folder.path()).unwrap().step,
        MAX_STEPS
    );
}
