//! A classifier's configuration that cannot be right is rejected before it costs memory or time.

#[path = "../../ch08-conditioning/tests/spoilt/mod.rs"]
mod spoilt;

use ch09_evaluation::classifier::{self, Classifier, ClassifierConfig};
use ops::params::Outline;
use serde_json::json;

use self::spoilt::{full, spoilt};

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
    let load = || Some(full(classifier::load(&device, folder.path()).err()?));
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

#[test]
fn an_outline_is_that_of_the_classifier() {
    let config = classifier_config();
    let mut classifier = Classifier::new(&ops::open_device(0).unwrap(), config.clone());
    assert_eq!(config.outline().unwrap(), Outline::for_model(&mut classifier));
}
