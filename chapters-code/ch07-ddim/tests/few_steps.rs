//! DDIM and DPM-Solver++ with denoisers that are known exactly.

use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{rng, standard_normal, Diffusion, PredictionType};
use ch04_unet::model_dir::VarianceType;
use ch06_sampling::{gaussian_denoiser, noise_per_image, pairs, walk, Ancestral};
use ch07_ddim::{alpha_bar, slerp, Ddim, DpmSolver, TimestepSpacing};
use ops::{AutoDevice as Dev, Images};

const KINDS: [PredictionType; 3] =
    [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction];
const SPACINGS: [TimestepSpacing; 4] = [
    TimestepSpacing::Leading,
    TimestepSpacing::Trailing,
    TimestepSpacing::Linspace,
    TimestepSpacing::Quad,
];
const MEAN: f64 = 0.3;
const VARIANCE: f64 = 0.25;

/// A diffusion with a cosine schedule of a thousand timesteps.
fn cosine(prediction_type: PredictionType) -> Diffusion {
    let schedule = Schedule::new(BetaSchedule::SquaredcosCapV2, 1000);
    Diffusion { schedule, prediction_type }
}

fn best(diffusion: &Diffusion) -> impl Fn(&Images<Dev>, usize) -> Images<Dev> + '_ {
    |x, t| gaussian_denoiser(diffusion, MEAN, VARIANCE, x, t)
}

fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| v as f64).sum::<f64>() / n;
    (mean, values.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

#[test]
fn every_spacing_visits_as_many_timesteps_as_it_should() {
    for spacing in SPACINGS {
        for (len, steps) in
            [(1000, 1), (1000, 7), (1000, 50), (1000, 1000), (10, 9), (1, 1)]
        {
            let visited = spacing.timesteps(len, steps, 0);
            assert_eq!(visited.len(), steps, "{spacing:?}");
            assert!(
                visited.windows(2).all(|w| w[0] > w[1]) && visited[0] < len,
                "{spacing:?}: {visited:?}"
            );
        }
        if spacing != TimestepSpacing::Quad {
            assert_eq!(
                spacing.timesteps(20, 20, 0),
                (0..20).rev().collect::<Vec<_>>(),
                "{spacing:?}"
            );
        }
    }
}

// ANCHOR: expected_moments
/// The theoretical moments of DDIM over these timesteps: every step is a linear map
/// plus noise.
fn expected_moments(ddim: &Ddim, timesteps: &[usize]) -> (f64, f64) {
    let (mut m, mut v) = (0.0, 1.0);
    let schedule = &ddim.diffusion.schedule;
    for (t, prev) in pairs(timesteps) {
        let (now, then) = (schedule.alpha_bar[t], alpha_bar(schedule, prev));
        let sigma = ddim.sigma(t, prev);
        // x0 = constant + gain · x, eps = (x - √ᾱ x0) / √(1-ᾱ)
        let gain = now.sqrt() * VARIANCE / (now * VARIANCE + 1.0 - now);
        let constant = MEAN * (1.0 - gain * now.sqrt());
        let direction =
            (1.0 - then - sigma * sigma).max(0.0).sqrt() / (1.0 - now).sqrt();
        let slope = then.sqrt() * gain + direction * (1.0 - now.sqrt() * gain);
        m = slope * m + (then.sqrt() - direction * now.sqrt()) * constant;
        v = slope * slope * v + sigma * sigma;
    }
    (m, v)
}
// ANCHOR_END: expected_moments

/// Asserts that the mean and variance of `n` values differ from theory only by chance.
fn assert_moments(found: (f64, f64), expected: (f64, f64), n: usize, what: &str) {
    let ((m, v), (em, ev), n) = (found, expected, n as f64);
    let (near_m, near_v) = (3.3 * (ev / n).sqrt(), 3.3 * ev * (2.0 / n).sqrt());
    assert!((m - em).abs() < near_m, "{what}: mean {m} instead of {em}");
    assert!((v - ev).abs() < near_v, "{what}: variance {v} instead of {ev}");
}

// ANCHOR: gaussian
#[test]
fn gaussian_data_come_out_with_the_moments_of_theory() {
    let device = ops::open_device(0).unwrap();
    let n = 4000;
    for steps in [10, 20, 50] {
        for eta in [0.0, 0.5, 1.0] {
            for kind in KINDS {
                let ddim = Ddim::new(cosine(kind), None, eta);
                let timesteps = TimestepSpacing::Trailing.timesteps(1000, steps, 0);
                let mut rngs = vec![rng(1, 0)];
                let x = noise_per_image(&device, (1, 1, 40, n / 40), &mut rngs);
                let start = moments(&x.as_vec());
                let denoise = best(&ddim.diffusion);
                let walk = walk(ddim.clone(), x, &timesteps, rngs, denoise);
                let found = moments(&walk.finish().as_vec());
                let expected = expected_moments(&ddim, &timesteps);
                let what = format!("{steps} steps, eta {eta}, {kind:?}");
                assert_moments(found, expected, n, &what);
                if eta == 0.0 {
                    // Without fresh noise, the walk is one linear map, so the moments
                    // are exact, given those of the start.
                    let (found, exact) = (found.1, expected.1 * start.1);
                    assert!(
                        (found - exact).abs() < 1e-4 * expected.1,
                        "{what}: {found}"
                    );
                }
            }
        }
    }
}
// ANCHOR_END: gaussian

#[test]
fn the_second_order_solver_comes_closer_to_the_data() {
    let device = ops::open_device(0).unwrap();
    let start = standard_normal(&device, (1, 1, 50, 40), &mut rng(4, 0));
    let of_start = moments(&start.as_vec());
    for kind in KINDS {
        let diffusion = cosine(kind);
        let denoise = best(&diffusion);
        // Where an infinitely fine walk leads: the deviation shrinks from 1 to that of
        // the data.
        let error = |variance: f64| (variance / of_start.1).sqrt() - VARIANCE.sqrt();
        for steps in [10, 20, 50] {
            let timesteps = TimestepSpacing::Trailing.timesteps(1000, steps, 0);
            let first = Ddim::new(diffusion.clone(), None, 0.0);
            let first = walk(first, start.clone(), &timesteps, vec![], &denoise);
            let first = moments(&first.finish().as_vec());
            let second = DpmSolver::new(diffusion.clone(), None);
            let second = walk(second, start.clone(), &timesteps, vec![], &denoise);
            let second = moments(&second.finish().as_vec());
            let (first, second) = (error(first.1).abs(), error(second.1).abs());
            assert!(
                second < first / 2.0,
                "{kind:?}, {steps} steps: off by {second}, DDIM by {first}"
            );
        }
    }
}

#[test]
fn eta_1_on_all_timesteps_is_ancestral_sampling() {
    let device = ops::open_device(0).unwrap();
    let timesteps: Vec<usize> = (0..40).rev().collect();
    for kind in KINDS {
        let schedule = Schedule::new(BetaSchedule::Linear, 40);
        let diffusion = Diffusion { schedule, prediction_type: kind };
        let denoise = best(&diffusion);
        let ancestral = Ancestral {
            diffusion: diffusion.clone(),
            variance_type: VarianceType::FixedSmall,
            clip: None,
        };
        let ddim = Ddim::new(diffusion.clone(), None, 1.0);
        let mut rngs = vec![rng(5, 0), rng(5, 1)];
        let x = noise_per_image(&device, (2, 3, 4, 4), &mut rngs);
        let expected = walk(ancestral, x.clone(), &timesteps, rngs.clone(), &denoise);
        let found = walk(ddim, x, &timesteps, rngs, &denoise);
        for (found, expected) in found.zip(expected) {
            for (f, e) in found.next.as_vec().iter().zip(expected.next.as_vec()) {
                assert!((f - e).abs() < 2e-5, "{kind:?}: {f} instead of {e}");
            }
        }
    }
}

#[test]
fn inversion_leads_back() {
    let device = ops::open_device(0).unwrap();
    let image = standard_normal(&device, (2, 1, 4, 4), &mut rng(6, 0))
        * VARIANCE.sqrt() as f32
        + MEAN as f32;
    for kind in KINDS {
        let ddim = Ddim::new(cosine(kind), None, 0.0);
        let denoise = best(&ddim.diffusion);
        let error = |steps: usize| {
            let timesteps = TimestepSpacing::Linspace.timesteps(1000, steps, 0);
            let noise = ddim.invert(image.clone(), &timesteps, &denoise);
            let walk = walk(ddim.clone(), noise, &timesteps, vec![], &denoise);
            let back = walk.finish().as_vec();
            back.iter()
                .zip(image.as_vec())
                .map(|(b, i)| (b - i).powi(2) as f64)
                .sum::<f64>()
                .sqrt()
        };
        let errors = [20, 100, 500].map(error);
        assert!(
            errors[0] > errors[1] && errors[1] > errors[2] && errors[2] < 0.05,
            "{kind:?}: {errors:?}"
        );
    }
}

#[test]
fn points_between_two_noises_are_as_long_as_noise() {
    let device = ops::open_device(0).unwrap();
    let [a, b] =
        [0, 1].map(|i| standard_normal(&device, (2, 3, 16, 16), &mut rng(7, i)));
    let length = |x: &[f32]| x.iter().map(|&v| (v as f64).powi(2)).sum::<f64>().sqrt();
    let same = |x: Images<Dev>, y: &Images<Dev>| {
        x.as_vec().iter().zip(y.as_vec()).all(|(x, y)| (x - y).abs() < 1e-6)
    };
    assert!(
        same(slerp(&a, &b, 0.0), &a)
            && same(slerp(&a, &b, 1.0), &b)
            && same(slerp(&a, &a, 0.4), &a)
    );
    for u in [0.25, 0.5, 0.75] {
        let between = slerp(&a, &b, u).as_vec();
        let (a, b) = (a.as_vec(), b.as_vec());
        for image in 0..2 {
            let image = image * 768..(image + 1) * 768;
            let (la, lb) = (length(&a[image.clone()]), length(&b[image.clone()]));
            let l = length(&between[image]);
            assert!(
                l > 0.97 * la.min(lb) && l < 1.03 * la.max(lb),
                "{l} between {la} and {lb}"
            );
        }
    }
}
