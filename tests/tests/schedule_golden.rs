//! Our schedules and sampling steps against diffusers' `DDPMScheduler`, which computes in f32 (ours
//! are in f64, so the tolerances are those of f32).

use book_tests::{assert_close, json, parse, Fixture};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{Diffusion, PredictionType};
use ch04_unet::model_dir::VarianceType;
use ch06_sampling::{step_variance, Ancestral, Outcome, Solver};

#[test]
fn schedules() {
    let cases = json("schedules.json");
    let cases = cases["cases"].as_array().unwrap();
    assert!(cases.len() >= 12);
    for case in cases {
        let kind: BetaSchedule = parse(&case["beta_schedule"]);
        let schedule = Schedule::new(kind, case["num_train_timesteps"].as_u64().unwrap() as usize);
        let timesteps: Vec<usize> = parse(&case["timesteps"]);
        let column = |name: &str| -> Vec<f64> { parse(&case[name]) };
        let (betas, alpha_bar) = (column("betas"), column("alphas_cumprod"));
        let (small, large) = (column("variance_fixed_small"), column("variance_fixed_large"));
        for (i, &t) in timesteps.iter().enumerate() {
            let close = |what: &str, ours: f64, theirs: f64, tolerance: f64| {
                assert!(
                    (ours - theirs).abs() <= tolerance * theirs.abs(),
                    "{kind:?} {what}[{t}]: {ours} instead of {theirs}"
                );
            };
            close("beta", schedule.betas[t], betas[i], 1e-6);
            close("alpha_bar", schedule.alpha_bar[t], alpha_bar[i], 2e-5);
            if t > 0 {
                close(
                    "fixed_small",
                    step_variance(&schedule, VarianceType::FixedSmall, t),
                    small[i],
                    2e-3,
                );
                close(
                    "fixed_large",
                    step_variance(&schedule, VarianceType::FixedLarge, t),
                    large[i],
                    2e-3,
                );
            }
        }
    }
}

#[test]
fn sampling_steps() {
    let device = ops::open_device(0).unwrap();
    let cases = json("steps.json");
    let fixture = Fixture::read("steps.safetensors");
    let [x_t, output, noise] =
        ["sample", "model_output", "noise"].map(|name| fixture.images(&device, name));
    let cases = cases["step"].as_array().unwrap();
    assert!(cases.len() >= 96);
    for case in cases {
        let diffusion = Diffusion {
            schedule: Schedule::new(parse(&case["beta_schedule"]), 1000),
            prediction_type: parse(&case["prediction_type"]),
        };
        let mut solver = Ancestral {
            diffusion,
            variance_type: parse::<VarianceType>(&case["variance_type"]),
            clip: case["clip_sample"].as_bool().unwrap().then_some(1.0),
        };
        let t = case["timestep"].as_u64().unwrap() as usize;
        let key = case["key"].as_str().unwrap();
        let (denoise, prev) = (|_: &_, _| output.clone(), t.checked_sub(1));
        let Outcome { x0, next } = solver.step(&x_t, t, prev, &denoise, &mut || noise.clone());
        assert_close(
            &format!("{key} x0"),
            &x0,
            &fixture.images(&device, &format!("{key}.pred_original_sample")),
            2e-5,
        );
        // diffusers computes 1 - alpha_bar[t] / alpha_bar[t-1] in f32, which loses digits by
        // cancellation at small t; elsewhere the results agree closely.
        let tolerance = if t <= 1 { 4e-4 } else { 2e-5 };
        assert_close(
            key,
            &next,
            &fixture.images(&device, &format!("{key}.prev_sample")),
            tolerance,
        );
    }
}

#[test]
fn noising_and_velocity() {
    let device = ops::open_device(0).unwrap();
    let cases = json("steps.json");
    let fixture = Fixture::read("steps.safetensors");
    let [x0, eps] = ["sample", "noise"].map(|name| fixture.images(&device, name));
    let mut checked = 0;
    for kind in [BetaSchedule::Linear, BetaSchedule::SquaredcosCapV2] {
        let diffusion = Diffusion {
            schedule: Schedule::new(kind, 1000),
            prediction_type: PredictionType::VPrediction,
        };
        for timesteps in [[0, 1], [500, 250], [998, 999]] {
            let key = format!("{}.mix.{}_{}", kind.name(), timesteps[0], timesteps[1]);
            let x_t = diffusion.q_sample(&x0, &timesteps, &eps);
            assert_close(&key, &x_t, &fixture.images(&device, &format!("{key}.add_noise")), 1e-5);
            let v = diffusion.target(&x0, &timesteps, &eps);
            assert_close(&key, &v, &fixture.images(&device, &format!("{key}.velocity")), 1e-5);
            checked += 1;
        }
    }
    assert_eq!(checked, cases["mix"].as_array().map_or(checked, Vec::len));
}
