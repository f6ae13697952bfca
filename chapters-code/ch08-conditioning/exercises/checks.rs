//! The tests that an answer must pass. Each is named after the function that it tests.

use ch03_forward::{rng, standard_normal};
use ch04_unet::model_dir::{Model, SchedulerConfig};
use ch04_unet::Preset;
use ch08_conditioning::{Condition, ConditionalUNet, ConditioningConfig};
use ops::AutoDevice;

use super::answers;

fn near(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    assert!(
        found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-5),
        "{found:?}, not {wanted:?}"
    );
}

#[test]
fn guide() {
    let (uncond, cond) = ([0.0, 1.0, -1.0], [1.0, 1.0, 0.5]);
    near(&answers::guide(&uncond, &cond, 0.0), &uncond);
    near(&answers::guide(&uncond, &cond, 1.0), &cond);
    near(&answers::guide(&uncond, &cond, 2.0), &[2.0, 1.0, 2.0]);
}

#[test]
fn scale_of() {
    let (uncond, cond) = ([0.2, 1.0, -1.0, 0.0], [1.0, 0.7, 0.5, 0.1]);
    for scale in [0.0, 0.5, 3.0] {
        let guided: Vec<f32> =
            uncond.iter().zip(&cond).map(|(u, c)| u + scale * (c - u)).collect();
        let found = answers::scale_of(&uncond, &cond, &guided);
        assert!((found - scale).abs() < 1e-5, "{found}, not {scale}");
    }
}

#[test]
fn both() {
    let (uncond, grey, striped) = ([0.0, 0.0], [1.0, 0.0], [0.0, 2.0]);
    near(&answers::both(&uncond, &[(&grey, 1.0), (&striped, 1.5)]), &[1.0, 3.0]);
    near(&answers::both(&[1.0, 1.0], &[(&[2.0, 0.0], 2.0)]), &[3.0, -1.0]);
    near(&answers::both(&uncond, &[]), &uncond);
}

#[test]
fn change_of_mind() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let conditioning = ConditioningConfig::Class { num_classes: 2 };
    let scheduler =
        SchedulerConfig { num_train_timesteps: 10, ..SchedulerConfig::default() };
    let unet = Preset::Tiny.config([3, 8, 8]);
    let network =
        ConditionalUNet::new(&device, &unet, &conditioning, &mut rng(2, 0)).unwrap();
    let diffusion = scheduler.diffusion().unwrap();
    let model = Model { network, diffusion, scheduler, notes: Vec::new() };
    let noise = standard_normal(&device, (2, 3, 8, 8), &mut rng(2, 1));
    let [first, then] = [0, 1].map(Condition::Label);
    let cats = |first: &Condition, then: &Condition, until: usize| {
        let timesteps = [9, 6, 3, 0];
        answers::change_of_mind(&model, &noise, &timesteps, [first, then], until)
            .as_vec()
    };
    assert_eq!(cats(&first, &then, 0), cats(&first, &first, 5), "never changed");
    assert_eq!(cats(&first, &then, 10), cats(&then, &then, 5), "changed at once");
    assert_eq!(
        cats(&first, &then, 4),
        cats(&first, &then, 6),
        "in both, timestep 6 is told `first`"
    );
    assert_ne!(
        cats(&first, &then, 6),
        cats(&first, &then, 7),
        "with 7, timestep 6 is told `then`"
    );
}
