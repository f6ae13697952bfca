//! Configurations on disk that cannot be right are named, before they cost memory or
//! time.

use std::fs;
use std::path::Path;
use std::time::Instant;

use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::{Preset, UNetConfig};
use ch08_conditioning::evaluation::classifier::{self, Classifier, ClassifierConfig};
use ch08_conditioning::model::{self, ConditioningFile};
use ch08_conditioning::{ConditionalUNet, ConditioningConfig, TextConfig, Tokenizer};
use ops::params::Outline;
use ops::AutoDevice;
use serde_json::{json, Value};

fn unet() -> UNetConfig {
    UNetConfig {
        add_attention: true,
        attention_head_dim: Some(8),
        ..Preset::Tiny.config([1, 8, 8])
    }
}

fn text() -> ConditioningConfig {
    let vocabulary = Tokenizer::new(["a black cat"]);
    ConditioningConfig::Text(TextConfig {
        vocabulary,
        max_words: 4,
        width: 8,
        layers: 2,
        heads: 2,
        groups: 4,
    })
}

fn class() -> ConditioningConfig {
    ConditioningConfig::Class { num_classes: 3 }
}

fn network(conditioning: &ConditioningConfig) -> ConditionalUNet<AutoDevice> {
    let device = ops::open_device(0).unwrap();
    ConditionalUNet::new(&device, &unet(), conditioning, &mut ch03_forward::rng(1, 0))
        .unwrap()
}

/// Changes a value in a JSON file for as long as it takes to load what the file
/// describes; that must fail.
fn spoilt(
    path: &Path,
    place: &str,
    value: &Value,
    load: impl Fn() -> Option<String>,
) -> String {
    let good = fs::read(path).unwrap();
    let mut bad: Value = serde_json::from_slice(&good).unwrap();
    *bad.pointer_mut(place).unwrap() = value.clone();
    fs::write(path, bad.to_string()).unwrap();
    let start = Instant::now();
    let error = load().unwrap_or_else(|| panic!("{place} = {value} must be rejected"));
    assert!(
        start.elapsed().as_secs_f64() < 1.0,
        "{error}: after {:?}",
        start.elapsed()
    );
    assert!(!error.contains('\n'), "{error}");
    fs::write(path, good).unwrap();
    error
}

#[test]
fn an_outline_is_that_of_the_network() {
    for conditioning in [class(), text()] {
        let mut network = network(&conditioning);
        assert_eq!(
            conditioning.outline(&unet()).unwrap(),
            Outline::of(&mut network.conditioner)
        );
        assert_eq!(
            conditioning.network_outline(&unet()).unwrap(),
            Outline::of(&mut network)
        );
    }
    let config = classifier_config();
    let mut classifier = Classifier::new(&ops::open_device(0).unwrap(), config.clone());
    assert_eq!(config.outline().unwrap(), Outline::of(&mut classifier));
}

#[test]
fn conditions_that_cannot_be_right_are_named() {
    let huge = 1u64 << 63;
    let words: Vec<String> = (0..70_000).map(|i| format!("word{i}")).collect();
    let classes = [
        ("/conditioning/class/num_classes", json!(0), "num_classes is 0"),
        (
            "/conditioning/class/num_classes",
            json!(1_000_000_000_000u64),
            "num_classes is 1000000000000",
        ),
        (
            "/conditioning/class/num_classes",
            json!(1_000_000),
            "'class_embedding.weight' has shape [32, 3]",
        ),
        (
            "/conditioning/class/num_classes",
            json!("x"),
            "conditioning.class.num_classes: invalid type",
        ),
        ("/dropout", json!(-0.1), "dropout is -0.1"),
        ("/dropout", json!(1.5), "dropout is 1.5"),
    ];
    let texts = [
        ("/conditioning/text/vocabulary", json!([]), "vocabulary is 0"),
        (
            "/conditioning/text/vocabulary",
            json!(["a", "cat", "a"]),
            "vocabulary is 'a'",
        ),
        ("/conditioning/text/vocabulary", json!(["a", ""]), "vocabulary is ''"),
        ("/conditioning/text/vocabulary", json!(words), "vocabulary is 70000"),
        (
            "/conditioning/text/vocabulary",
            json!(["a"]),
            "'text_encoder.words.weight' has shape [8, 4]",
        ),
        ("/conditioning/text/max_words", json!(0), "max_words is 0"),
        ("/conditioning/text/max_words", json!(huge), "max_words is"),
        ("/conditioning/text/width", json!(huge), "width is"),
        (
            "/conditioning/text/width",
            json!(16_384),
            "'text_encoder.words.weight' has shape [8, 4]",
        ),
        ("/conditioning/text/layers", json!(1_000_000), "layers is 1000000"),
        (
            "/conditioning/text/layers",
            json!(64),
            "'text_encoder.blocks.2.attention.group_norm.weight' is missing",
        ),
        ("/conditioning/text/heads", json!(0), "heads is 0"),
        ("/conditioning/text/heads", json!(huge), "heads is"),
        ("/conditioning/text/heads", json!(3), "heads is 3"),
        ("/conditioning/text/groups", json!(0), "groups is 0"),
        ("/conditioning/text/groups", json!(huge), "groups is"),
        ("/conditioning/text/groups", json!(3), "groups is 3"),
    ];
    for (conditioning, cases) in [(class(), &classes[..]), (text(), &texts[..])] {
        let folder = tempfile::tempdir().unwrap();
        let file = ConditioningFile {
            conditioning: conditioning.clone(),
            dropout: 0.1,
            dataset: "cats".into(),
            classes: Vec::new(),
        };
        let scheduler = SchedulerConfig::default();
        model::save(
            folder.path(),
            &unet(),
            &mut network(&conditioning),
            &file,
            &scheduler,
        )
        .unwrap();
        let device = ops::open_device(0).unwrap();
        let load = || Some(model::load(&device, folder.path()).err()?.to_string());
        assert_eq!(load(), None);
        for (place, value, words) in cases {
            let error = spoilt(
                &folder.path().join("conditioning/config.json"),
                place,
                value,
                load,
            );
            let file = if words.starts_with('\'') {
                "weights.safetensors"
            } else {
                "config.json"
            };
            let place = format!("conditioning/{file}: ");
            assert!(
                error.contains(&place) && error.contains(words),
                "{words}: {error}"
            );
        }
    }
}

fn classifier_config() -> ClassifierConfig {
    ClassifierConfig {
        dataset: "cats".into(),
        shape: [3, 16, 16],
        questions: vec![5, 3],
        steps: 1,
        batch_size: 1,
        seed: 0,
        accuracy: 0.5,
    }
}

#[test]
fn classifiers_that_cannot_be_right_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let device = ops::open_device(0).unwrap();
    classifier::save(folder.path(), &mut Classifier::new(&device, classifier_config()))
        .unwrap();
    let load = || Some(classifier::load(&device, folder.path()).err()?.to_string());
    assert_eq!(load(), None);
    let huge = 1u64 << 63;
    for (place, value, words) in [
        ("/questions", json!([5, 0, 3]), "questions is 0"),
        ("/questions", json!([]), "questions is a list of 0"),
        ("/questions", json!([huge, huge]), "questions is"),
        ("/questions", json!([65_536, 65_536]), "'answers.weight' has shape [8, 64]"),
        ("/questions", json!(vec![1; 2000]), "questions is a list of 2000"),
        ("/questions", json!([5, "x"]), "questions[1]: invalid type"),
        ("/shape", json!([0, 16, 16]), "shape[0] is 0"),
        ("/shape", json!([3, huge, 16]), "shape[1] is"),
        ("/shape", json!([3, 16, 0]), "shape[2] is 0"),
        (
            "/shape",
            json!([1000, 16, 16]),
            "'stages.0.conv.weight' has shape [32, 3, 3, 3]",
        ),
        ("/shape", json!([3, 16]), "shape: invalid length 2"),
        ("/accuracy", json!(1e300), "accuracy is 1e300"),
        ("/accuracy", json!(-1), "accuracy is -1.0"),
    ] {
        let error = spoilt(&folder.path().join("config.json"), place, &value, load);
        let file = if words.starts_with('\'') {
            "weights.safetensors: "
        } else {
            "config.json: "
        };
        assert!(error.contains(file) && error.contains(words), "{words}: {error}");
    }
}
