//! What an answer must pass.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch07_ddim::Ddim;
use ops::AutoDevice;

use super::answers::{length_half_way, sigma, step};

fn linear() -> Diffusion {
    let schedule = Schedule::new(BetaSchedule::Linear, 1000);
    Diffusion { schedule, prediction_type: PredictionType::Epsilon }
}

#[test]
fn a_line_is_shorter_than_a_circle() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let [a, b] = [0, 1].map(|stream| {
        standard_normal(&device, (1, 1, 200, 200), &mut rng(4, stream)).as_vec()
    });
    let length = |values: &[f32]| {
        values.iter().map(|&v| v as f64 * v as f64).sum::<f64>().sqrt()
    };
    let middle: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
    let share = length(&middle) / length(&a);
    assert!(
        (length_half_way() - share).abs() < 0.01,
        "{}, but it is about {share:.3}",
        length_half_way()
    );
}

#[test]
fn as_much_noise_as_ancestral_sampling() {
    let ddim = Ddim::new(linear(), None, 1.0);
    let schedule = &ddim.diffusion.schedule;
    for (t, prev) in [(999, 979), (500, 250), (20, 0)] {
        assert!(
            (sigma(schedule, t, prev) / ddim.sigma(t, Some(prev)) - 1.0).abs() < 1e-9,
            "from {t} to {prev}"
        );
    }
    // From one timestep to the one before it, it is the posterior variance of chapter
    // 2.
    assert!(
        (sigma(schedule, 300, 299).powi(2) / schedule.posterior_variance(300) - 1.0)
            .abs()
            < 1e-9
    );
}

#[test]
fn a_step_with_the_true_noise_stays_on_the_way() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    let diffusion = linear();
    let [x0, eps] = [0, 1]
        .map(|stream| standard_normal(&device, (1, 1, 4, 4), &mut rng(9, stream)));
    for (t, prev) in [(900, 600), (600, 100), (50, 0)] {
        let x_t = diffusion.q_sample(&x0, &[t], &eps);
        let wanted = diffusion.q_sample(&x0, &[prev], &eps).as_vec();
        let found = step(&diffusion.schedule, t, prev, &x_t, &eps).as_vec();
        let worst =
            found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "from {t} to {prev}: off by {worst}");
    }
}
