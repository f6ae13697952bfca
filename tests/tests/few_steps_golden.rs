//! Our timesteps, DDIM steps and DPM-Solver++ walks against diffusers' `DDIMScheduler` and
//! `DPMSolverMultistepScheduler`, which compute in f32.

use book_tests::{assert_close, json, parse, Fixture};
use ch02_schedule::{BetaSchedule, Schedule};
use ch03_forward::{Diffusion, PredictionType};
use ch06_sampling::{walk, Solver};
use ch07_ddim::{Ddim, DpmSolver, TimestepSpacing};

fn linear(prediction_type: PredictionType) -> Diffusion {
    Diffusion { schedule: Schedule::new(BetaSchedule::Linear, 1000), prediction_type }
}

#[test]
fn visited_timesteps() {
    let cases = json("few_steps.json");
    let cases = cases["spacings"].as_array().unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        let spacing: TimestepSpacing = parse(&case["spacing"]);
        let number = |name: &str| case[name].as_u64().unwrap() as usize;
        let visited = spacing.timesteps(1000, number("steps"), number("offset"));
        assert_eq!(
            visited,
            parse::<Vec<usize>>(&case["timesteps"]),
            "{spacing:?}, {} steps",
            number("steps")
        );
    }
}

#[test]
fn ddim_steps() {
    let device = ops::open_device(0).unwrap();
    let fixture = Fixture::read("few_steps.safetensors");
    let [x_t, noise, output] =
        ["sample", "noise", "model_output.0"].map(|name| fixture.images(&device, name));
    let cases = json("few_steps.json");
    let cases = cases["steps"].as_array().unwrap();
    assert!(cases.len() >= 243);
    for case in cases {
        let mut ddim = Ddim {
            diffusion: linear(parse(&case["prediction_type"])),
            clip: case["clip_sample"].as_bool().unwrap().then_some(1.0),
            use_clipped_model_output: case["use_clipped_model_output"].as_bool().unwrap(),
            eta: case["eta"].as_f64().unwrap(),
        };
        let t = case["timestep"].as_u64().unwrap() as usize;
        let key = case["key"].as_str().unwrap();
        let (prev, denoise) = (parse(&case["previous"]), |_: &_, _| output.clone());
        let found = ddim.step(&x_t, t, prev, &denoise, &mut || noise.clone());
        assert_close(key, &found.next, &fixture.images(&device, key), 1e-5);
    }
}

#[test]
fn dpm_solver_walks() {
    let device = ops::open_device(0).unwrap();
    let fixture = Fixture::read("few_steps.safetensors");
    let cases = json("few_steps.json");
    let cases = cases["walks"].as_array().unwrap();
    assert!(cases.len() >= 9);
    for case in cases {
        let solver = DpmSolver::new(linear(parse(&case["prediction_type"])), None);
        let x = fixture.images(&device, "sample");
        let timesteps: Vec<usize> = parse(&case["timesteps"]);
        let denoise = |_: &_, t: usize| {
            let i = timesteps.iter().position(|&visited| visited == t).unwrap();
            fixture.images(&device, &format!("model_output.{i}"))
        };
        for (i, step) in walk(solver, x, &timesteps, vec![], denoise).enumerate() {
            let key = format!(
                "walk.{}.{}.{i}",
                case["spacing"].as_str().unwrap(),
                case["prediction_type"].as_str().unwrap()
            );
            assert_close(&key, &step.next, &fixture.images(&device, &key), 1e-5);
        }
    }
}
