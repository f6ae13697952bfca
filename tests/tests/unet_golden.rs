//! Our U-Net against diffusers' `UNet2DModel`: outputs, loss and every gradient, on the fixtures
//! that `golden.py` made.

use std::path::{Path, PathBuf};

use ch04_unet::{model_dir, BlockType, Preset, UNet, UNetConfig};
use dfdx::prelude::*;
use ops::layers::Parameters;
use ops::AutoDevice as Dev;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/unet")
}

/// The tensors of a fixture: `timestep` as integers, the others as f32.
struct Golden(Vec<u8>);

impl Golden {
    fn read(name: &str) -> Self {
        Self(std::fs::read(folder().join(name).join("golden.safetensors")).unwrap())
    }
    fn view(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        let file = safetensors::SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("no tensor {name}"));
        (view.shape().to_vec(), view.data().to_vec())
    }
    fn f32s(&self, name: &str) -> Vec<f32> {
        self.view(name)
            .1
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }
    fn timesteps(&self) -> Vec<usize> {
        self.view("timestep")
            .1
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize)
            .collect()
    }
    fn images(&self, device: &Dev, name: &str) -> ops::Images<Dev> {
        let shape = self.view(name).0;
        device.tensor_from_vec(self.f32s(name), (shape[0], shape[1], shape[2], shape[3]))
    }
}

/// The largest difference, as a share of the largest expected value.
fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1e-4);
    found.iter().zip(expected).fold(0.0f32, |m, (f, e)| m.max((f - e).abs())) / scale
}

// ANCHOR: check
fn check(name: &str) {
    let device = ops::open_device(0).unwrap();
    let golden = Golden::read(name);
    let mut model = model_dir::load(&device, &folder().join(name)).unwrap();
    let x = golden.images(&device, "sample");
    let timesteps = golden.timesteps();

    let plain = model.network.forward(x.clone(), &timesteps).as_vec();
    let error = relative_error(&plain, &golden.f32s("output"));
    println!("{name}: output off by {error:e}");
    assert!(error < 1e-4, "{name}: output is off by {error}");

    let taped = model.network.forward(x.leaky_trace(), &timesteps);
    assert_eq!(taped.as_vec(), plain, "recording a tape changes nothing");
    let loss = (taped - golden.images(&device, "target")).square().mean::<Rank0, _>();
    assert!(relative_error(&loss.as_vec(), &golden.f32s("loss")) < 1e-5);
    let gradients = loss.backward();
    let found = gradients.get(&x).as_vec();
    assert!(relative_error(&found, &golden.f32s("grad_sample")) < 1e-3);
    let parameters = model.network.parameters();
    assert!(parameters.len() > 50);
    for parameter in parameters {
        let (name, found) = (&parameter.name, parameter.gradient(&gradients));
        let error = relative_error(&found, &golden.f32s(&format!("grad.{name}")));
        assert!(error < 1e-3, "gradient of {name} is off by {error}");
    }
}
// ANCHOR_END: check

macro_rules! configs {
    ($($name:ident),+) => { $(#[test] fn $name() { check(stringify!($name)) })+ };
}
configs!(plain_1ch, attn_3ch, paper_like, odd_28, groups_2_center, single_level);

#[test]
fn the_paper_s_network_has_35_746_307_parameters() {
    let device = ops::open_device(0).unwrap();
    let config = Preset::DdpmCifar10.config([3, 32, 32]);
    let mut unet = UNet::new(&device, &config, &mut ch03_forward::rng(0, 0)).unwrap();
    assert_eq!(ops::params::count(&mut unet), 35_746_307);
}

#[test]
fn what_cannot_be_built_is_refused_by_name() {
    let base = Preset::Tiny.config([3, 16, 16]);
    let cases: [(&str, UNetConfig); 8] = [
        ("act_fn", UNetConfig { act_fn: "gelu".into(), ..base.clone() }),
        ("dropout", UNetConfig { dropout: 0.1, ..base.clone() }),
        ("norm_num_groups", UNetConfig { norm_num_groups: 3, ..base.clone() }),
        (
            "down_block_types",
            UNetConfig { down_block_types: vec![BlockType::DownBlock2D], ..base.clone() },
        ),
        (
            "attention_head_dim",
            UNetConfig { add_attention: true, attention_head_dim: Some(5), ..base.clone() },
        ),
        (
            "resnet_time_scale_shift",
            UNetConfig { resnet_time_scale_shift: "scale_shift".into(), ..base.clone() },
        ),
        (
            "class_embed_type",
            UNetConfig { class_embed_type: Some("timestep".into()), ..base.clone() },
        ),
        ("sample_size", Preset::Tiny.config([3, 15, 16])),
    ];
    for (field, config) in cases {
        let error = config.check().unwrap_err();
        assert_eq!(error.field, field, "{error}");
    }
}
