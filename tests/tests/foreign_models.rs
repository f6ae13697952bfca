//! One model, written in every way in which diffusers writes models, draws the same picture; and
//! models that cannot be right are rejected at once, with a message of one sentence.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use book_tests::programs::{fail, succeed};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{json, Value};

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
const UNET: &str = "unet/config.json";
const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// A folder in which programs run, with a model named `trained` whose network has attention.
struct Models(tempfile::TempDir);

impl Models {
    fn new() -> Self {
        let models = Self(tempfile::tempdir().unwrap());
        let train = [
            "--preset",
            "tiny",
            "--num-timesteps",
            "20",
            "--batch-size",
            "8",
            "--steps",
            "3",
            "--samples",
            "1",
        ];
        succeed("ch05-train", models.0.path(), &[&train[..], &["--out", "trained"]].concat());
        // The tiny network has no attention, so take one that diffusers wrote, with the scheduler
        // of the model trained here.
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/unet/attn_3ch");
        for name in ["config.json", WEIGHTS] {
            fs::copy(golden.join(name), models.path("trained/unet").join(name)).unwrap();
        }
        models
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A copy of the model under another name.
    fn copy(&self, name: &str) -> PathBuf {
        let (from, copy) = (self.path("trained"), self.path(name));
        for file in files::below(&from).unwrap() {
            files::write(copy.join(&file), &fs::read(from.join(&file)).unwrap()).unwrap();
        }
        copy
    }

    /// The picture that a model draws.
    fn draw(&self, name: &str) -> Vec<u8> {
        let args =
            ["--model", name, "--count", "2", "--seed", "1", "--scale", "1", "--out", "drawn.png"];
        succeed("ch06-sampling", self.0.path(), &args);
        fs::read(self.path("drawn.png")).unwrap()
    }

    /// Asserts that drawing with a model fails at once, with one sentence that contains these
    /// words.
    fn reject(&self, name: &str, words: &[&str]) {
        let start = Instant::now();
        fail("ch06-sampling", self.0.path(), &["--model", name, "--out", "rejected.png"], 1, words);
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{name}: {words:?} after {:?}",
            start.elapsed()
        );
        assert!(!self.path("rejected.png").exists());
    }
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn read(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |data: &[u8]| {
        data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    file.tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.shape().to_vec(), floats(view.data()))))
        .collect()
}

fn write(path: &Path, tensors: &Tensors, kind: Dtype) {
    let bytes = |value: &f32| match kind {
        Dtype::F16 => f16::from_f32(*value).to_le_bytes().to_vec(),
        Dtype::BF16 => bf16::from_f32(*value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    let data: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(bytes).collect()).collect();
    let views = tensors.iter().zip(&data).map(|((name, (shape, _)), data)| {
        (name, TensorView::new(kind, shape.clone(), data).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Changes fields of a JSON file.
fn change(path: &Path, changes: Value) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for (field, new) in changes.as_object().unwrap() {
        value[field] = new.clone();
    }
    fs::write(path, value.to_string()).unwrap();
}

/// Moves everything into one folder.
fn flatten(model: &Path) {
    for (from, to) in [(UNET, "config.json"), (SCHEDULER, "scheduler_config.json")] {
        fs::rename(model.join(from), model.join(to)).unwrap();
    }
    fs::rename(model.join("unet").join(WEIGHTS), model.join(WEIGHTS)).unwrap();
}

/// Puts every other tensor into a second file, and writes the index.
fn shard(model: &Path) {
    let unet = model.join("unet");
    let names =
        [1, 2].map(|part| format!("diffusion_pytorch_model-0000{part}-of-00002.safetensors"));
    let (mut shards, mut map) = ([Tensors::new(), Tensors::new()], BTreeMap::new());
    for (i, (name, tensor)) in read(&unet.join(WEIGHTS)).into_iter().enumerate() {
        map.insert(name.clone(), &names[i % 2]);
        shards[i % 2].insert(name, tensor);
    }
    for (name, shard) in names.iter().zip(&shards) {
        write(&unet.join(name), shard, Dtype::F32);
    }
    let index = json!({ "metadata": { "total_size": 0 }, "weight_map": map });
    fs::write(unet.join("diffusion_pytorch_model.safetensors.index.json"), index.to_string())
        .unwrap();
    fs::remove_file(unet.join(WEIGHTS)).unwrap();
}

/// Gives the linear maps of attention their old names, and turns them into 1×1 convolutions.
fn age(model: &Path) {
    let path = model.join("unet").join(WEIGHTS);
    let old = |(name, (mut shape, values)): (String, (Vec<usize>, Vec<f32>))| {
        let maps =
            [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
        match maps.iter().find(|(now, _)| name.contains(&format!(".{now}."))) {
            Some((now, old)) => {
                let convolution: &[usize] = if shape.len() == 2 { &[1, 1] } else { &[] };
                shape.extend(convolution);
                (name.replace(now, old), (shape, values))
            }
            None => (name, (shape, values)),
        }
    };
    write(&path, &read(&path).into_iter().map(old).collect(), Dtype::F32);
}

#[test]
fn a_model_draws_the_same_however_it_was_written() {
    let models = Models::new();
    let expected = models.draw("trained");
    let same = |name: &str, folder: &str, rewrite: &dyn Fn(&Path)| {
        rewrite(&models.copy(name));
        assert!(models.draw(&format!("{name}{folder}")) == expected, "{name} draws something else");
    };
    same("network-next-to-its-scheduler", "/unet", &|_| {});
    same("no-index", "", &|model| fs::remove_file(model.join("model_index.json")).unwrap());
    same("flat-pipeline", "", &|model| flatten(model));
    same("flat", "", &|model| {
        flatten(model);
        fs::remove_file(model.join("model_index.json")).unwrap();
    });
    same("sharded", "", &|model| shard(model));
    same("old-names", "", &|model| age(model));
    same("unknown-fields", "", &|model| {
        change(&model.join(UNET), json!({ "_name_or_path": "a/b", "dual_attention": null }));
        change(&model.join(SCHEDULER), json!({ "set_alpha_to_one": true, "new_feature": false }));
    });

    let pixels = |png: &[u8]| image::load_from_memory(png).unwrap().to_rgb8().into_raw();
    for (kind, variant, most) in [(Dtype::F16, "fp16", 0.25), (Dtype::BF16, "bf16", 1.0)] {
        let unet = models.copy(variant).join("unet");
        let tensors = read(&unet.join(WEIGHTS));
        fs::remove_file(unet.join(WEIGHTS)).unwrap();
        write(&unet.join(format!("diffusion_pytorch_model.{variant}.safetensors")), &tensors, kind);
        let (found, expected) = (pixels(&models.draw(variant)), pixels(&expected));
        assert_eq!(found.len(), expected.len());
        let difference: f64 =
            found.iter().zip(&expected).map(|(&f, &e)| f.abs_diff(e) as f64).sum();
        let mean = difference / found.len() as f64;
        println!("{variant}: {mean} levels of 255 off");
        assert!(mean < most, "{variant}: {mean} levels of 255 off");
    }
}

#[test]
fn models_that_cannot_be_right_are_answered_at_once() {
    let models = Models::new();
    models.draw("trained"); // Builds the program, so that the build is not timed below.
    let mut copies = 0;
    let mut reject = |spoil: &dyn Fn(&Path), words: &[&str]| {
        copies += 1;
        let name = format!("copy-{copies}");
        spoil(&models.copy(&name));
        models.reject(&name, words);
    };
    for (file, changes, words) in [
        (
            UNET,
            json!({ "block_out_channels": [1u64 << 63, 8] }),
            "block_out_channels is 9223372036854775808",
        ),
        (
            UNET,
            json!({ "block_out_channels": vec![8; 66] }),
            "block_out_channels is a list of 66 levels",
        ),
        (
            UNET,
            json!({ "block_out_channels": [16_384, 16_384] }),
            "'conv_in.weight' has shape [8, 3, 3, 3]",
        ),
        (UNET, json!({ "layers_per_block": 1_000_000 }), "layers_per_block is 1000000"),
        (UNET, json!({ "sample_size": 1u64 << 40 }), "sample_size is 1099511627776x1099511627776"),
        (UNET, json!({ "new_feature": 2 }), "new_feature is 2"),
        (
            SCHEDULER,
            json!({ "num_train_timesteps": 10_000_000_000u64 }),
            "num_train_timesteps is 10000000000",
        ),
        (SCHEDULER, json!({ "trained_betas": [0.1] }), "trained_betas is a list of 1"),
        (SCHEDULER, json!({ "beta_end": 5 }), "beta_end is 5.0"),
        (SCHEDULER, json!({ "_class_name": "PNDMScheduler" }), "_class_name is \"PNDMScheduler\""),
    ] {
        let named = if words.starts_with('\'') { WEIGHTS } else { file };
        reject(&|model| change(&model.join(file), changes.clone()), &[named, words]);
    }
    let index = "diffusion_pytorch_model.safetensors.index.json";
    reject(
        &|model| {
            fs::write(model.join("unet").join(index), r#"{"weight_map": {"a": "../../x"}}"#)
                .unwrap()
        },
        &[index, "'../../x'"],
    );
    reject(
        &|model| {
            let unet = model.join("unet");
            fs::rename(unet.join(WEIGHTS), unet.join("diffusion_pytorch_model.bin")).unwrap();
        },
        &["diffusion_pytorch_model.bin", "safe_serialization=True"],
    );
}
