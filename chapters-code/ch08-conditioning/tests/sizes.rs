//! Configurations on disk that cannot be right are rejected before they cost memory or time.

mod spoilt;

use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::{Preset, UNetConfig};
use ch08_conditioning::model::{self, ConditioningFile};
use ch08_conditioning::{ConditionalUNet, ConditioningConfig, TextConfig, Tokenizer};
use ops::params::Outline;
use ops::AutoDevice;
use serde_json::json;

use self::spoilt::{full, spoilt};

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
        bag_of_words: false,
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

#[test]
fn an_outline_is_that_of_the_network() {
    for conditioning in [class(), text()] {
        let mut network = network(&conditioning);
        assert_eq!(
            conditioning.outline(&unet()).unwrap(),
            Outline::for_model(&mut network.conditioner)
        );
        assert_eq!(
            conditioning.network_outline(&unet()).unwrap(),
            Outline::for_model(&mut network)
        );
    }
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
        let load = || Some(full(model::load(&device, folder.path()).err()?));
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
