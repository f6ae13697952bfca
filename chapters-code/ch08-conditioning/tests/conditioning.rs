//! The claims of chapter 8.

use ch01_tensors::cats::{Attributes, Ears, Eyes, Fur};
use ch01_tensors::{Cats, Dataset, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch04_unet::model_dir::{self, SchedulerConfig};
use ch04_unet::{Preset, UNetConfig};
use ch05_train::{l_simple, OptimizerConfig, TrainConfig, Trainer};
use ch06_sampling::{gaussian_denoiser, noise_per_image, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use ch08_conditioning::captions::{
    forget, phrase, vocabulary, Asked, SeenCats, Unseen,
};
use ch08_conditioning::model::{self, ConditionalError, ConditioningFile};
use ch08_conditioning::{
    from_image, one_hot, train_step, words, Condition, ConditionalUNet,
    ConditioningConfig, Guidance, Inpaint, TextConfig, Tokenizer,
};
use dfdx::prelude::*;
use ops::layers::Parameters;
use ops::{AutoDevice, Images};

type Dev = AutoDevice;

/// A small U-Net with attention.
fn unet(shape: [usize; 3]) -> UNetConfig {
    let mut config = Preset::Cats.config(shape);
    config.block_out_channels = vec![8, 16];
    config.down_block_types.truncate(2);
    config.up_block_types.remove(0);
    config.norm_num_groups = 4;
    config.attention_head_dim = Some(8);
    config
}

fn text() -> ConditioningConfig {
    let vocabulary = Tokenizer::new(vocabulary());
    ConditioningConfig::Text(TextConfig {
        vocabulary,
        max_words: 16,
        width: 8,
        layers: 1,
        heads: 2,
        groups: 4,
        bag_of_words: false,
    })
}

fn network(conditioning: &ConditioningConfig) -> (Dev, ConditionalUNet<Dev>) {
    let device = ops::open_device(0).unwrap();
    let network =
        ConditionalUNet::new(&device, &unet([3, 8, 8]), conditioning, &mut rng(1, 0))
            .unwrap();
    (device, network)
}

fn read(conditioning: &ConditioningConfig, prompt: &str) -> Condition {
    let ConditioningConfig::Text(text) = conditioning else { panic!("no words") };
    Condition::Words(text.vocabulary.encode(prompt, text.max_words).unwrap())
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn file(conditioning: ConditioningConfig) -> ConditioningFile {
    ConditioningFile {
        conditioning,
        dropout: 0.1,
        dataset: "cats".into(),
        classes: Vec::new(),
    }
}

#[test]
fn one_hot_rows() {
    let device: Dev = ops::open_device(0).unwrap();
    assert_eq!(
        one_hot(&device, &[Some(1), None], 3).as_vec(),
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    );
}

// ANCHOR: nothing
/// Told nothing about an image, the network answers as chapter 4's does, even if
/// it is told something about others in the batch.
#[test]
fn nothing_said_changes_nothing() {
    let class = ConditioningConfig::Class { num_classes: 3 };
    let said = [Condition::Label(2), read(&text(), "a black cat")];
    for (conditioning, said) in [class, text()].into_iter().zip(said) {
        let (device, network) = network(&conditioning);
        let x = standard_normal(&device, (2, 3, 8, 8), &mut rng(2, 0));
        let plain = network.unet.forward(x.clone(), &[5, 500]).as_vec();
        let nothing = network
            .forward(x.clone(), &[5, 500], &[Condition::Nothing, Condition::Nothing])
            .as_vec();
        assert_eq!(nothing, plain);
        let mixed = network.forward(x, &[5, 500], &[Condition::Nothing, said]).as_vec();
        let (first, second) = (0..192, 192..384);
        assert!(
            distance(&mixed[first.clone()], &plain[first]) < 1e-5,
            "the one that is told nothing"
        );
        assert!(
            distance(&mixed[second.clone()], &plain[second]) > 1e-3,
            "the one that is told something"
        );
    }
}
// ANCHOR_END: nothing

#[test]
fn what_is_said_matters_and_so_does_the_order_of_words() {
    let conditioning = text();
    let (device, network) = network(&conditioning);
    let x = standard_normal(&device, (1, 3, 8, 8), &mut rng(2, 0));
    let answer = |prompt| {
        network.forward(x.clone(), &[100], &[read(&conditioning, prompt)]).as_vec()
    };
    let prompts = ["", "a black cat", "a white cat", "a cat black"];
    for (i, a) in prompts.iter().enumerate() {
        for b in &prompts[i + 1..] {
            assert!(
                distance(&answer(a), &answer(b)) > 1e-5,
                "'{a}' and '{b}' sound the same"
            );
        }
    }
}

/// A copy of `network` with `by` added to one number in one of its conditioner's parameters.
fn nudged(
    network: &ConditionalUNet<Dev>,
    name: &str,
    at: usize,
    by: f32,
) -> ConditionalUNet<Dev> {
    let mut nudged = network.clone();
    let parameters = nudged.conditioner.parameters().into_iter();
    for mut parameter in parameters.filter(|parameter| parameter.name == name) {
        let mut values = parameter.values();
        values[at] += by;
        parameter.copy_from(&values);
    }
    nudged
}

/// Every parameter of the conditioning learns, and its gradient is the slope of the
/// loss.
#[test]
fn gradients_reach_what_reads_the_words() {
    let class = ConditioningConfig::Class { num_classes: 3 };
    let told = [
        vec![Condition::Label(1), Condition::Nothing],
        vec![read(&text(), "an orange cat with green eyes"), Condition::Nothing],
    ];
    for (conditioning, told) in [class, text()].into_iter().zip(told) {
        let (device, mut network) = network(&conditioning);
        let x0 = standard_normal(&device, (2, 3, 8, 8), &mut rng(3, 0));
        let eps = standard_normal(&device, (2, 3, 8, 8), &mut rng(4, 0));
        let loss = |network: &ConditionalUNet<Dev>| {
            let answer = |x_t, timesteps: &[usize]| {
                network.forward::<NoneTape>(x_t, timesteps, &told)
            };
            l_simple(&linear(), &x0, &[200, 700], &eps, answer).as_vec()[0] as f64
        };
        let answer = |x_t, timesteps: &[usize]| {
            network.forward::<OwnedTape<f32, Dev>>(x_t, timesteps, &told)
        };
        let gradients = l_simple(&linear(), &x0, &[200, 700], &eps, answer).backward();
        let parameters = network.conditioner.parameters();
        let learnt =
            parameters.iter().map(|p| (p.name.clone(), p.gradient(&gradients)));
        for (name, gradient) in learnt.collect::<Vec<_>>() {
            let (at, slope) = gradient
                .iter()
                .copied()
                .enumerate()
                .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
                .unwrap();
            if name.ends_with("to_k.bias") {
                // This bias adds the same to all scores, which leaves their softmax unchanged.
                assert!(slope.abs() < 1e-6, "{name}: {slope}");
                continue;
            }
            assert!(slope.abs() > 1e-7, "{name} learns nothing");
            let step = 2e-2;
            let there = nudged(&network, &name, at, step);
            let here = nudged(&network, &name, at, -step);
            let measured = (loss(&there) - loss(&here)) / (2.0 * step as f64);
            let error = (measured - slope as f64).abs();
            assert!(
                error < 0.05 * slope.abs() as f64 + 2e-5,
                "{name}[{at}]: {slope}, but the slope is {measured}"
            );
        }
    }
}

#[test]
fn guidance_goes_from_one_answer_to_the_other_and_beyond() {
    let conditioning = text();
    let (device, network) = network(&conditioning);
    let x = standard_normal(&device, (1, 3, 8, 8), &mut rng(2, 0));
    let (wanted, unwanted) =
        (read(&conditioning, "a black cat"), read(&conditioning, "folded ears"));
    let ask = |condition: &Condition| {
        network.forward(x.clone(), &[300], std::slice::from_ref(condition)).as_vec()
    };
    for negative in [Condition::Nothing, unwanted] {
        let (cond, uncond) = (ask(&wanted), ask(&negative));
        for guidance_scale in [0.0, 1.0, 2.5] {
            let guidance = Guidance {
                conditions: vec![wanted.clone()],
                negative: vec![negative.clone()],
                guidance_scale,
            };
            let w = guidance_scale as f32;
            let expected: Vec<f32> =
                cond.iter().zip(&uncond).map(|(c, u)| (1.0 - w) * u + w * c).collect();
            let found = guidance.answer(&network, &x, 300).as_vec();
            assert!(
                distance(&found, &expected) < 1e-5,
                "guidance scale {guidance_scale}"
            );
        }
    }
}

#[test]
fn every_image_is_guided_by_what_is_asked_of_it() {
    let conditioning = text();
    let (device, network) = network(&conditioning);
    // Enough prompts for the batch to be cut in two.
    let prompts = ["a black cat", "folded ears", "an orange cat"]
        .map(|prompt| read(&conditioning, prompt));
    let conditions: Vec<Condition> = prompts.into_iter().cycle().take(17).collect();
    let negative: Vec<Condition> =
        conditions.iter().skip(1).cloned().chain([Condition::Nothing]).collect();
    let x = standard_normal(&device, (17, 3, 8, 8), &mut rng(3, 0));
    let guidance = Guidance { conditions, negative, guidance_scale: 2.5 };
    let found = guidance.clone().denoiser(&device, &network)(&x, 300).as_vec();
    for (i, (values, found)) in
        x.as_vec().chunks(3 * 8 * 8).zip(found.chunks(3 * 8 * 8)).enumerate()
    {
        let alone = Guidance {
            conditions: vec![guidance.conditions[i].clone()],
            negative: vec![guidance.negative[i].clone()],
            ..guidance
        };
        let expected = alone.answer(
            &network,
            &ops::tensor(&device, values.to_vec(), (1, 3, 8, 8)),
            300,
        );
        assert!(distance(found, &expected.as_vec()) < 1e-5, "image {i}");
    }
}

#[test]
fn phrases_say_what_is_asked_for_in_known_words() {
    let tokenizer = Tokenizer::new(vocabulary());
    let mut rng = rng(0, 0);
    let mut orders = std::collections::HashSet::new();
    for cat in Attributes::all() {
        let all = Asked::all(&cat);
        for _ in 0..5 {
            let part = forget(all, &mut rng);
            for asked in [all, part] {
                let text = phrase(&asked, &mut rng);
                assert_eq!(Asked::read(&text), asked, "{text}");
                assert!(tokenizer.encode(&text, 16).is_ok(), "{text}");
            }
            assert!(
                part.right(&cat).iter().all(|&right| right != Some(false)),
                "leaving something out is not lying"
            );
        }
        // A caption does not mention ears that are up.
        let caption = Asked::read(&cat.caption());
        assert_eq!(Asked { ears: caption.ears.or(Some(Ears::Up)), ..caption }, all);
        orders.insert(words(&phrase(&all, &mut rng)).iter().position(|w| w == "eyes"));
    }
    assert!(orders.len() > 2, "attributes come in many orders");
    assert_eq!(
        Asked::read("Orange eyes, please").right(&Attributes::all().next().unwrap())[2],
        Some(true)
    );
}

#[test]
fn the_same_words_can_be_two_cats() {
    let one = Asked::read("an orange cat with blue eyes on a green background");
    let other = Asked::read("a blue cat with orange eyes on a green background");
    assert_eq!((one.fur, one.eyes), (Some(Fur::Orange), Some(Eyes::Blue)));
    assert_eq!((other.fur, other.eyes), (Some(Fur::Blue), Some(Eyes::Orange)));
    assert_eq!(one.background, other.background);
    assert!(one.is_swappable() && other.is_swappable());
    assert_eq!(Unseen::of(&one), [Unseen::OrangeWithBlueEyes, Unseen::OrangeOnGreen]);
    for (text, is_swappable) in [
        ("a blue cat with blue eyes on a blue background", false),
        ("a black cat with blue eyes on a pink background", false),
        ("a black cat with blue eyes on a green background", true),
        ("a green striped cat", false),
    ] {
        assert_eq!(Asked::read(text).is_swappable(), is_swappable, "{text}");
    }
}

#[test]
fn a_bag_of_words_has_no_order() {
    let one = "an orange cat with blue eyes on a pink background";
    let other = "a blue cat with orange eyes on a pink background";
    let ordered = TextConfig {
        vocabulary: Tokenizer::new(vocabulary()),
        max_words: 16,
        width: 8,
        layers: 1,
        heads: 1,
        groups: 4,
        bag_of_words: false,
    };
    // Otherwise "an" and "a" would distinguish the two prompts.
    let (one, other) = (one.replace("an ", "a "), other.replace("an ", "a "));
    assert_ne!(ordered.read(&one), ordered.read(&other));
    let bag = TextConfig { bag_of_words: true, ..ordered };
    assert_eq!(bag.read(&one), bag.read(&other));
    assert_eq!(bag.read_known(&one), bag.read(&one).unwrap());
}

#[test]
fn left_out_cats_are_left_out() {
    let kinds: Vec<Attributes> = Attributes::all()
        .filter(|cat| !Unseen::of(&Asked::all(cat)).is_empty())
        .collect();
    // There are 72 cats of each fur colour. Of the orange ones, a third are left out for their eyes
    // and a quarter for their background, 6 of them for both. Of the blue ones, a third are left
    // out for their eyes; of the green ones, a quarter for their background; of the grey ones, a
    // third for their pattern; and of the white ones, half for their ears.
    assert_eq!(kinds.len(), (24 + 18 - 6) + 24 + 18 + 24 + 36);
    let seen = SeenCats::new(Box::new(Cats::new(Split::HeldOut)));
    let all = Cats::new(Split::HeldOut);
    assert!((6_600..7_000).contains(&seen.len()), "{} of 10,000", seen.len());
    assert!((0..seen.len())
        .all(|i| Unseen::of(&Asked::all(&seen.attributes(i).unwrap())).is_empty()));
    // The cats that are left are unchanged, and every word still occurs.
    assert!((0..10).all(|i| (0..all.len())
        .any(|j| all.image(j) == seen.image(i) && all.caption(j) == seen.caption(i))));
    let said: std::collections::HashSet<String> =
        (0..seen.len()).flat_map(|i| words(&seen.caption(i))).collect();
    assert!(["orange", "blue", "green", "grey", "patched", "white", "folded"]
        .iter()
        .all(|w| said.contains(*w)));
}

/// Black and white squares, and their names.
struct Squares;

impl Dataset for Squares {
    fn name(&self) -> &str {
        "squares"
    }
    fn len(&self) -> usize {
        64
    }
    fn shape(&self) -> [usize; 3] {
        [1, 8, 8]
    }
    fn image(&self, index: usize) -> Vec<f32> {
        vec![if index.is_multiple_of(2) { -0.8 } else { 0.8 }; 64]
    }
    fn label(&self, index: usize) -> usize {
        index % 2
    }
    fn classes(&self) -> Vec<String> {
        ["black square", "white square"].map(String::from).to_vec()
    }
    fn caption(&self, index: usize) -> String {
        if index.is_multiple_of(2) { "a black square" } else { "a white square" }.into()
    }
    fn may_flip(&self) -> bool {
        false
    }
}

fn squares(
    device: &Dev,
    conditioning: &ConditioningConfig,
    steps: usize,
) -> Trainer<Dev, ConditionalUNet<Dev>> {
    let config = TrainConfig {
        unet: unet([1, 8, 8]),
        objective: Default::default(),
        scheduler: SchedulerConfig {
            prediction_type: PredictionType::Sample,
            ..Default::default()
        },
        optimizer: OptimizerConfig { warmup_steps: 10, ..Default::default() },
        batch_size: 16,
        ema_decay: 0.9,
        seed: 0,
    };
    let rng = &mut config.first_weights();
    let network =
        ConditionalUNet::new(device, &unet([1, 8, 8]), conditioning, rng).unwrap();
    let mut trainer = Trainer::with_network(device, config, network).unwrap();
    for _ in 0..steps {
        train_step(&mut trainer, conditioning, 0.2, &Squares).unwrap();
    }
    trainer
}

/// From pure noise one cannot know which square is wanted, unless one is told.
#[test]
fn a_trained_network_listens() {
    let device = ops::open_device(0).unwrap();
    let captions = (0..2).map(|i| Squares.caption(i));
    let vocabulary = Tokenizer::new(captions);
    let text = ConditioningConfig::Text(TextConfig {
        vocabulary,
        max_words: 4,
        width: 8,
        layers: 1,
        heads: 1,
        groups: 4,
        bag_of_words: false,
    });
    let class = ConditioningConfig::Class { num_classes: 2 };
    let black = [Condition::Label(0), read(&text, "a black square")];
    for (conditioning, black) in [class, text].into_iter().zip(black) {
        let network = squares(&device, &conditioning, 150).averaged();
        let x = standard_normal(&device, (1, 1, 8, 8), &mut rng(9, 0));
        let mean = |condition| {
            let answer = network.forward(x.clone(), &[999], &[condition]).as_vec();
            answer.iter().sum::<f32>() / 64.0
        };
        let (told, untold) = (mean(black), mean(Condition::Nothing));
        assert!(told < -0.6, "told black, it predicts {told}");
        assert!(untold.abs() < 0.4, "told nothing, it predicts {untold}");
    }
}

#[test]
fn a_conditional_model_on_disk_is_also_an_unconditional_one() {
    for conditioning in [ConditioningConfig::Class { num_classes: 3 }, text()] {
        let folder = tempfile::tempdir().unwrap();
        let (device, mut network) = network(&conditioning);
        let file = file(conditioning.clone());
        let scheduler = SchedulerConfig::default();
        model::save(folder.path(), &unet([3, 8, 8]), &mut network, &file, &scheduler)
            .unwrap();

        let (again, again_file) = model::load(&device, folder.path()).unwrap();
        let x = standard_normal(&device, (1, 3, 8, 8), &mut rng(2, 0));
        let told = match conditioning {
            ConditioningConfig::Class { .. } => Condition::Label(1),
            ConditioningConfig::Text(_) => read(&conditioning, "a cat"),
        };
        let answer = |network: &ConditionalUNet<Dev>| {
            network.forward(x.clone(), &[7], std::slice::from_ref(&told)).as_vec()
        };
        assert_eq!(answer(&again.network), answer(&network));
        assert_eq!((&again_file, &again.scheduler), (&file, &scheduler));

        let plain = model_dir::load(&device, folder.path()).unwrap();
        assert_eq!(
            plain.network.forward(x.clone(), &[7]).as_vec(),
            network.unet.forward(x.clone(), &[7]).as_vec()
        );
        assert!(model_dir::is_conditional(&files::Disk, folder.path()));

        std::fs::remove_dir_all(folder.path().join("conditioning")).unwrap();
        let error = model::load(&device, folder.path()).unwrap_err();
        assert!(matches!(error, ConditionalError::Unconditional(_)), "{error}");
    }
}

#[test]
fn weights_of_another_architecture_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (device, mut class) = network(&ConditioningConfig::Class { num_classes: 3 });
    let file = file(text());
    model::save(
        folder.path(),
        &unet([3, 8, 8]),
        &mut class,
        &file,
        &SchedulerConfig::default(),
    )
    .unwrap();
    let error = anyhow::Error::from(model::load(&device, folder.path()).unwrap_err());
    let error = format!("{error:#}");
    assert!(
        error.contains("weights.safetensors") && error.contains("missing"),
        "{error}"
    );
}

#[test]
fn configurations_that_cannot_be_built_are_refused_by_field() {
    let ConditioningConfig::Text(good) = text() else { unreachable!() };
    let bad = |change: &dyn Fn(&mut TextConfig)| {
        let mut config = good.clone();
        change(&mut config);
        ConditioningConfig::Text(config)
            .check(&unet([3, 8, 8]))
            .unwrap_err()
            .to_string()
    };
    assert!(bad(&|c| c.heads = 3).contains("heads"));
    assert!(bad(&|c| c.groups = 5).contains("groups"));
    assert!(bad(&|c| c.max_words = 0).contains("max_words"));
    assert!(
        text().check(&Preset::Tiny.config([3, 8, 8])).is_err(),
        "a U-Net without attention has no place to look"
    );
    assert!(ConditioningConfig::Class { num_classes: 0 }
        .check(&unet([3, 8, 8]))
        .is_err());
}

const MEAN: f64 = 0.3;
const VARIANCE: f64 = 0.04;

/// Mean and variance of many values.
fn moments(values: &[f32]) -> (f64, f64) {
    let mean = values.iter().map(|&v| v as f64).sum::<f64>() / values.len() as f64;
    (
        mean,
        values.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>()
            / values.len() as f64,
    )
}

fn linear() -> Diffusion {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    Diffusion { schedule, prediction_type: PredictionType::Epsilon }
}

fn best(diffusion: &Diffusion) -> impl Fn(&Images<Dev>, usize) -> Images<Dev> + '_ {
    |x, t| gaussian_denoiser(diffusion, MEAN, VARIANCE, x, t)
}

/// With the best possible answers for pixels from N(MEAN, VARIANCE), painted pixels
/// come from that distribution, whatever surrounds them.
#[test]
fn inpainting_keeps_what_it_must_and_draws_the_rest() {
    let device: Dev = ops::open_device(0).unwrap();
    let diffusion = linear();
    let ddim = Ddim::new(diffusion.clone(), None, 1.0);
    let shape = (16, 1, 16, 16);
    let image = standard_normal(&device, shape, &mut rng(1, 0));
    let painted: Vec<bool> = (0..16 * 256).map(|i| i % 256 < 128).collect();
    let mask = device
        .tensor_from_vec(painted.iter().map(|&p| p as u8 as f32).collect(), shape);
    for (steps, resamplings) in [(1000, 1), (1000, 3)] {
        let timesteps = TimestepSpacing::Trailing.timesteps(1000, steps, 0);
        let mut rngs: Vec<_> = (0..16).map(|i| rng(2, i)).collect();
        let noise = noise_per_image(&device, shape, &mut rngs);
        let (ddim, image, mask) = (ddim.clone(), image.clone(), mask.clone());
        let denoise = best(&diffusion);
        let inpaint = Inpaint { ddim, image: image.clone(), mask, resamplings };
        let found = walk(inpaint, noise, &timesteps, rngs, denoise).finish().as_vec();
        let new: Vec<f32> =
            found.iter().zip(&painted).filter(|p| *p.1).map(|p| *p.0).collect();
        let old = found.iter().zip(image.as_vec()).zip(&painted).filter(|p| !*p.1);
        assert!(
            old.map(|((found, was), _)| (found - was).abs()).fold(0.0, f32::max) < 1e-6
        );
        let (mean, variance) = moments(&new);
        assert!((mean - MEAN).abs() < 0.02, "mean {mean} after {steps} steps");
        assert!(
            (variance / VARIANCE - 1.0).abs() < 0.12,
            "variance {variance} after {steps} steps"
        );
    }
}

#[test]
fn strength_goes_from_the_image_to_any_image() {
    let device: Dev = ops::open_device(0).unwrap();
    let diffusion = linear();
    let ddim = Ddim::new(diffusion.clone(), None, 0.0);
    let timesteps = TimestepSpacing::Trailing.timesteps(1000, 100, 0);
    let image = device.ones_like(&(8, 1, 16, 16)); // far from what the network knows
    let mut distances = Vec::new();
    for strength in [0.0, 0.2, 0.5, 1.0] {
        let rngs: Vec<_> = (0..8).map(|i| rng(2, i)).collect();
        let (ddim, image) = (ddim.clone(), image.clone());
        let denoise = best(&diffusion);
        let walk = from_image(ddim, image, strength, &timesteps, rngs, denoise);
        let found = walk.finish().as_vec();
        distances.push(moments(&found).0);
    }
    assert_eq!(distances[0], 1.0);
    assert!(distances.windows(2).all(|pair| pair[1] < pair[0]), "{distances:?}");
    assert!((distances[3] - MEAN).abs() < 0.02, "{distances:?}");
}

#[test]
fn a_class_has_a_name_and_a_number() {
    let named = |names: &[&str]| ConditioningFile {
        classes: names.iter().map(|name| name.to_string()).collect(),
        ..file(ConditioningConfig::Class { num_classes: 3 })
    };
    let animals = named(&["bird", "cat", "dog"]);
    assert_eq!(animals.class("cat"), Ok(Condition::Label(1)));
    assert_eq!(animals.class("1"), Ok(Condition::Label(1)));
    // A name takes precedence, even if it looks like a number.
    assert_eq!(named(&["1", "0", "7"]).class("0"), Ok(Condition::Label(1)));
    assert_eq!(named(&["1", "0", "7"]).class("2"), Ok(Condition::Label(2)));
    for wrong in ["cow", "3", "-1", "", "Cat"] {
        let error = animals.class(wrong).unwrap_err().to_string();
        assert!(
            error.contains(&format!("'{wrong}'")) && error.contains("1 'cat'"),
            "{error}"
        );
    }
    // A model from before classes had names.
    assert_eq!(named(&[]).class("2"), Ok(Condition::Label(2)));
    assert!(named(&[]).class("3").unwrap_err().to_string().contains("0 to 2"));
    assert!(file(text()).class("cat").unwrap_err().to_string().contains("--prompt"));
}

#[test]
fn other_classes_are_told_by_name() {
    let strings =
        |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let mut animals = file(ConditioningConfig::Class { num_classes: 2 });
    animals.classes = strings(&["bird", "cat"]);
    assert_eq!(animals.check_classes(&strings(&["bird", "cat"])), Ok(()));
    for (found, words) in [
        (&["ant", "bird", "cat"][..], ["'bird'", "'ant'"]),
        (&["bird"], ["'cat'", "'missing'"]),
        (&["bird", "cat", "dog"], ["2 classes", "3"]),
    ] {
        let error = animals.check_classes(&strings(found)).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    animals.classes.clear();
    assert!(animals.check_classes(&strings(&["bird"])).is_err());
    assert_eq!(file(text()).check_classes(&[]), Ok(()), "captions are not classes");
}

#[test]
fn a_sentence_without_words_is_no_prompt() {
    let ConditioningConfig::Text(text) = text() else { panic!("a text model") };
    for prompt in ["", "   ", "!!!", "🐱"] {
        let error = text.read(prompt).unwrap_err().to_string();
        assert!(
            error.contains(&format!("'{prompt}'")) && error.contains("no words"),
            "{error}"
        );
    }
}
