//! A training run learns, clips, averages, and resumes as if it had never stopped.

use ch01_tensors::{Cats, Dataset, Split};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch04_unet::model_dir::{self, SchedulerConfig};
use ch04_unet::{Preset, UNet};
use ch05_train::{
    bound_weight, heldout_loss, l_simple, learning_rate, weighted_loss, Batch, Ema,
    LossWeighting, Optimizer, OptimizerConfig, TimestepSampling, TrainConfig,
    TrainError, Trainer,
};
use dfdx::prelude::*;
use ops::layers::Parameters;
use ops::params::{count, to_host};
use ops::{AutoDevice as Dev, Images};

fn config(prediction_type: PredictionType) -> TrainConfig {
    TrainConfig {
        unet: Preset::Tiny.config([3, 16, 16]),
        objective: Default::default(),
        scheduler: SchedulerConfig {
            beta_schedule: BetaSchedule::SquaredcosCapV2,
            num_train_timesteps: 100,
            prediction_type,
            ..Default::default()
        },
        optimizer: OptimizerConfig {
            learning_rate: 2e-3,
            warmup_steps: 20,
            ..Default::default()
        },
        batch_size: 8,
        ema_decay: 0.9,
        seed: 1,
    }
}

/// The first eight cats, and no others.
struct Eight(Cats);

impl Dataset for Eight {
    fn name(&self) -> &str {
        "eight cats"
    }
    fn len(&self) -> usize {
        8
    }
    fn shape(&self) -> [usize; 3] {
        self.0.shape()
    }
    fn image(&self, index: usize) -> Vec<f32> {
        self.0.image(index)
    }
    fn label(&self, index: usize) -> usize {
        self.0.label(index)
    }
    fn classes(&self) -> Vec<String> {
        self.0.classes()
    }
    fn caption(&self, index: usize) -> String {
        self.0.caption(index)
    }
    fn may_flip(&self) -> bool {
        false
    }
}

// ANCHOR: learns
#[test]
fn a_tiny_model_overfits_eight_images() {
    let device = ops::open_device(0).unwrap();
    for (kind, bound) in [
        (PredictionType::Epsilon, 0.2),
        (PredictionType::Sample, 0.25),
        (PredictionType::VPrediction, 0.35),
    ] {
        let mut trainer = Trainer::new(&device, config(kind)).unwrap();
        let dataset = Eight(Cats::new(Split::Train));
        let mut losses = Vec::new();
        for _ in 0..400 {
            losses.push(trainer.train_step(&dataset).unwrap().loss);
        }
        let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
        let (first, last) = (mean(&losses[..10]), mean(&losses[350..]));
        println!("{kind:?}: {first} to {last}");
        assert!(
            last < bound,
            "{kind:?}: the loss is {last} after 400 steps, not below {bound}"
        );
        assert!(
            last < 0.4 * first,
            "{kind:?}: the loss fell only from {first} to {last}"
        );
    }
}
// ANCHOR_END: learns

fn run(trainer: &mut Trainer<Dev>, steps: usize) -> Vec<f32> {
    let dataset = Cats::new(Split::Train);
    (0..steps).map(|_| trainer.train_step(&dataset).unwrap().loss).collect()
}

#[test]
fn a_resumed_training_equals_one_that_was_never_stopped() {
    let device = ops::open_device(0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut whole = Trainer::new(&device, config(PredictionType::Epsilon)).unwrap();
    let losses = run(&mut whole, 12);
    let mut first = Trainer::new(&device, config(PredictionType::Epsilon)).unwrap();
    let mut again = run(&mut first, 5);
    first.save(folder.path()).unwrap();
    drop(first);
    let mut second = Trainer::load(&device, folder.path()).unwrap();
    again.extend(run(&mut second, 7));
    assert_eq!(losses, again);
    assert_eq!(to_host(&mut whole.network), to_host(&mut second.network));
    assert_eq!(
        to_host(&mut whole.model().network),
        to_host(&mut second.model().network)
    );
    // The model directory holds the averages, and can be loaded.
    second.save(folder.path()).unwrap();
    let mut loaded = model_dir::load(&device, folder.path()).unwrap();
    assert_eq!(to_host(&mut loaded.network), to_host(&mut second.model().network));
    assert_eq!(loaded.scheduler, second.config.scheduler);
}

#[test]
fn another_seed_is_another_training() {
    let device = ops::open_device(0).unwrap();
    let mut a = Trainer::new(&device, config(PredictionType::Epsilon)).unwrap();
    let mut b = Trainer::new(
        &device,
        TrainConfig { seed: 2, ..config(PredictionType::Epsilon) },
    )
    .unwrap();
    assert_ne!(run(&mut a, 1), run(&mut b, 1));
}

#[test]
fn a_loss_that_is_not_finite_leaves_the_weights_alone() {
    let device = ops::open_device(0).unwrap();
    let mut trainer = Trainer::new(&device, config(PredictionType::Epsilon)).unwrap();
    let parameters = trainer.network.parameters().into_iter();
    let mut bias = parameters.last().unwrap();
    assert_eq!(bias.name, "conv_out.bias");
    bias.copy_from(&[f32::NAN, 0.0, 0.0]);
    let before = to_host(&mut trainer.network)["conv_in.weight"].clone();
    let error = trainer.train_step(&Cats::new(Split::Train)).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 0, .. }), "{error}");
    assert_eq!(to_host(&mut trainer.network)["conv_in.weight"], before);
    assert_eq!(trainer.step, 0);
}

#[test]
fn long_gradients_are_cut() {
    // After one step of AdamW, its first moment shows which gradient the optimiser
    // saw: m = (1 - beta1) · scaled g.
    let device = ops::open_device(0).unwrap();
    let mut trainer = Trainer::new(&device, config(PredictionType::Epsilon)).unwrap();
    trainer.optimizer.config.max_gradient_norm = 0.01;
    let report = trainer.train_step(&Cats::new(Split::Train)).unwrap();
    assert!(report.gradient_norm > 0.01, "the test needs a gradient to cut");
    let squares: f64 = trainer
        .optimizer
        .m
        .iter()
        .flat_map(|m| m.as_vec())
        .map(|m| (m as f64 / 0.1).powi(2))
        .sum();
    assert!(
        (squares.sqrt() - 0.01).abs() < 1e-5,
        "the length is {} after cutting",
        squares.sqrt()
    );
}

/// An error in x0 counts the same, whatever the network predicts: the square of this error is
/// weighted by the smaller of the signal-to-noise ratio and 5.
#[test]
fn min_snr_weighs_the_error_of_x0() {
    let device: Dev = ops::open_device(0).unwrap();
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    let shape = (2, 3, 4, 4);
    let [x0, eps, wrong] =
        [1, 2, 3].map(|seed| standard_normal(&device, shape, &mut rng(seed, 0)));
    let wrong = x0.clone() + wrong * 0.1;
    for t in [0, 10, 150, 500, 999] {
        let alpha_bar = schedule.alpha_bar[t];
        let snr = alpha_bar / (1.0 - alpha_bar);
        let difference = wrong.clone() - x0.clone();
        let error = difference.square().mean::<Rank0, _>().as_vec()[0] as f64;
        let expected = error * f64::min(snr, 5.0);
        for prediction_type in [
            PredictionType::Epsilon,
            PredictionType::Sample,
            PredictionType::VPrediction,
        ] {
            let diffusion = Diffusion { schedule: schedule.clone(), prediction_type };
            // The answer of a network that takes x_t for a noisy version of `wrong`.
            let network = |x_t: Images<Dev>, timesteps: &[usize]| {
                let part = wrong.clone() * alpha_bar.sqrt() as f32;
                let eps = (x_t - part) / (1.0 - alpha_bar).sqrt() as f32;
                diffusion.target(&wrong, timesteps, &eps)
            };
            let weighting = LossWeighting::MinSnr;
            let loss = weighted_loss::<_, NoneTape>(
                &diffusion,
                weighting,
                &x0,
                &[t, t],
                &eps,
                network,
            );
            let ratio = loss.as_vec()[0] as f64 / expected;
            assert!((ratio - 1.0).abs() < 2e-2, "{prediction_type:?}, {t}: {ratio}");
        }
    }
}

#[test]
fn stratified_timesteps_come_from_every_range() {
    let (total, count) = (1000, 8);
    let mut how_often = vec![0; total];
    let mut rng = rng(0, 0);
    for _ in 0..20_000 {
        let drawn = TimestepSampling::Stratified.draw(total, count, &mut rng);
        for (i, &t) in drawn.iter().enumerate() {
            assert_eq!(t * count / total, i, "{t} is from another range");
            how_often[t] += 1;
        }
    }
    // Each timestep should occur 160 times, give or take five standard deviations.
    assert!(how_often.iter().all(|&n| (95..225).contains(&n)), "{how_often:?}");
}

// ANCHOR: halves
#[test]
fn two_halves_say_what_the_whole_batch_says() {
    let device = ops::open_device(0).unwrap();
    let config = TrainConfig { batch_size: 37, ..config(PredictionType::Epsilon) };
    let mut trainer = Trainer::new(&device, config).unwrap();
    let (Batch { x0, timesteps, eps, .. }, _) =
        trainer.next_batch(&Cats::new(Split::Train));
    let unet = trainer.network.clone();
    let network =
        |x_t: Images<Dev, OwnedTape<f32, Dev>>, t: &[usize]| unet.forward(x_t, t);
    let loss = l_simple(&trainer.diffusion, &x0, &timesteps, &eps, network);
    let value = loss.as_vec()[0];
    let mut unet = unet.clone();
    let gradient = ops::gradient_of(&mut unet, loss.backward()).unwrap();
    let mut whole = Optimizer::new(trainer.config.optimizer.clone(), &mut unet);
    let length = whole.update(0, &mut unet, &gradient);

    let report = trainer.train_step(&Cats::new(Split::Train)).unwrap();
    let (loss, norm) = (report.loss, report.gradient_norm);
    assert!((loss / value - 1.0).abs() < 1e-5, "the loss is {loss}, not {value}");
    assert!((norm / length - 1.0).abs() < 1e-5, "{norm} is not {length}");
    // After one step the first moment is the gradient, up to a factor.
    for (whole, halves) in whole.m.iter().zip(&trainer.optimizer.m) {
        for (whole, halves) in whole.as_vec().iter().zip(halves.as_vec()) {
            assert!((whole - halves).abs() < 1e-6, "{halves} is not {whole}");
        }
    }
}
// ANCHOR_END: halves

#[test]
#[cfg(not(feature = "cuda"))]
fn the_number_of_threads_changes_nothing() {
    let train = || {
        let device = ops::open_device(0).unwrap();
        let config = TrainConfig { batch_size: 20, ..config(PredictionType::Epsilon) };
        let mut trainer = Trainer::new(&device, config).unwrap();
        (run(&mut trainer, 3), to_host(&mut trainer.network))
    };
    let with = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(train)
    };
    let one = with(1);
    for threads in [2, 3, 5] {
        assert!(one == with(threads), "{threads} threads");
    }
}

#[test]
fn warm_up_rises_to_the_learning_rate_and_stays() {
    let config =
        OptimizerConfig { learning_rate: 0.5, warmup_steps: 4, ..Default::default() };
    let rates: Vec<f64> = (0..6).map(|step| learning_rate(&config, step)).collect();
    assert_eq!(rates, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]);
    assert_eq!(learning_rate(&OptimizerConfig { warmup_steps: 0, ..config }, 0), 0.5);
}

#[test]
fn cooldown_falls_to_zero_over_the_last_part() {
    let config = OptimizerConfig {
        learning_rate: 0.5,
        warmup_steps: 2,
        cooldown: 0.5,
        total_steps: 8,
        ..Default::default()
    };
    let rates: Vec<f64> = (0..10).map(|step| learning_rate(&config, step)).collect();
    assert_eq!(rates, [0.25, 0.5, 0.5, 0.5, 0.5, 0.375, 0.25, 0.125, 0.0, 0.0]);
}

#[test]
fn a_planned_training_uses_and_stores_its_plan() {
    let device = ops::open_device(0).unwrap();
    let mut trainer = Trainer::new(&device, config(PredictionType::Epsilon)).unwrap();
    trainer.plan(100, 0.995);
    let rates: Vec<f64> = (0..2)
        .map(|_| trainer.train_step(&Cats::new(Split::Train)).unwrap().learning_rate)
        .collect();
    assert_eq!(rates, [1e-4, 2e-4], "still rising");
    trainer.plan(4, 1.0);
    assert_eq!(
        trainer.train_step(&Cats::new(Split::Train)).unwrap().learning_rate,
        3e-4,
        "the warm-up rate is below that of the cooldown"
    );
    let folder = tempfile::tempdir().unwrap();
    trainer.save(folder.path()).unwrap();
    let again = Trainer::load(&device, folder.path()).unwrap();
    assert_eq!(
        (again.config.optimizer.total_steps, again.optimizer.config.cooldown),
        (4, 1.0)
    );
}

#[test]
fn the_average_follows_its_formula() {
    let device = ops::open_device(0).unwrap();
    let unet = Preset::Tiny.config([1, 8, 8]);
    let mut a = UNet::new(&device, &unet, &mut ch03_forward::rng(1, 0)).unwrap();
    let mut b = UNet::new(&device, &unet, &mut ch03_forward::rng(2, 0)).unwrap();
    let mut ema: Ema<Dev> = Ema::new(0.9, &mut a);
    assert_eq!(ema.decay_at(0), 0.1);
    assert_eq!(ema.decay_at(1_000_000), 0.9);
    ema.update(1_000_000, &mut b);
    let (va, vb) = (to_host(&mut a), to_host(&mut b));
    let averaged = to_host(&mut ema.apply(&a));
    let mut compared = 0;
    for (name, average) in averaged {
        for ((average, a), b) in
            average.values.iter().zip(&va[&name].values).zip(&vb[&name].values)
        {
            assert!((average - (0.9 * a + 0.1 * b)).abs() < 1e-6);
            compared += 1;
        }
    }
    assert_eq!(compared, count(&mut a));
}

#[test]
fn heldout_losses_are_comparable() {
    let device = ops::open_device(0).unwrap();
    let trainer = Trainer::new(&device, config(PredictionType::Epsilon)).unwrap();
    let heldout = Cats::new(Split::HeldOut);
    let network = |x_t, timesteps: &[usize], _| trainer.network.forward(x_t, timesteps);
    let measure = |weighting, seed| {
        heldout_loss(
            &device,
            &trainer.diffusion,
            weighting,
            &heldout,
            32,
            seed,
            network,
        )
    };
    let weighted = measure(LossWeighting::MinSnr, 1);
    let measure = |seed| measure(LossWeighting::Simple, seed);
    assert_eq!(measure(1), measure(1), "the same task every time");
    assert_ne!(measure(1), measure(2));
    // An untrained network's answer is about 0, so its error is about the variance of the
    // noise.
    assert!((measure(1).mean() - 1.0).abs() < 0.4, "{}", measure(1).mean());
    // When noise is predicted, the weight is 5 / signal-to-noise ratio, at most 1: far below 1 at
    // the clean end, and 1 from the middle on.
    assert!(weighted.buckets[0] < 0.3 * measure(1).buckets[0], "{weighted:?}");
    assert_eq!(weighted.buckets[5..], measure(1).buckets[5..]);
}

/// Memory must not grow with the number of held-out images: at most 16 of them go
/// through the network together, and each goes through once per range of timesteps.
#[test]
fn heldout_images_go_through_the_network_in_pieces() {
    let device: Dev = ops::open_device(0).unwrap();
    let diffusion = config(PredictionType::Epsilon).scheduler.diffusion().unwrap();
    let seen = std::cell::RefCell::new(Vec::new());
    let heldout = Cats::new(Split::HeldOut);
    let network = |x_t: Images<Dev>, t: &[usize], images: std::ops::Range<usize>| {
        assert_eq!((x_t.shape().0, t.len()), (images.len(), images.len()));
        seen.borrow_mut().push(images);
        x_t * 0.0
    };
    let simple = LossWeighting::Simple;
    let loss = heldout_loss(&device, &diffusion, simple, &heldout, 40, 0, network);
    let seen = seen.into_inner();
    assert_eq!(seen.len(), 10 * 3);
    assert!(seen.chunks(3).all(|pieces| pieces == [0..16, 16..32, 32..40]));
    // The loss of a network that always predicts 0 is the variance of the noise.
    assert!((loss.mean() - 1.0).abs() < 0.01, "{}", loss.mean());
}

/// The reasoning is that of chapter 6: an error of 1 in the noise shifts the predicted image and
/// with it the mean of the step back (DDPM eq. 7), and two Gaussians of the same variance differ by
/// the squared distance between their means, divided by twice the variance.
#[test]
fn the_bound_counts_errors_of_the_noise_as_the_means_that_they_move() {
    for kind in BetaSchedule::ALL {
        let schedule = Schedule::new(kind, 1000);
        for t in [1, 2, 50, 500, 998] {
            let alpha_bar = schedule.alpha_bar[t];
            let image = ((1.0 - alpha_bar) / alpha_bar).sqrt();
            let mean = schedule.posterior_mean_coefficients(t).0 * image;
            let wanted = mean * mean / (2.0 * schedule.posterior_variance(t));
            let found = bound_weight(&schedule, t);
            assert!((found / wanted - 1.0).abs() < 1e-6, "{kind:?}, t = {t}: {found}");
        }
    }
}
