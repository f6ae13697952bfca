//! Our timesteps, DDIM steps and DPM-Solver++ walks against diffusers' `DDIMScheduler` and
//! `DPMSolverMultistepScheduler`, which compute in f32.

use book_tests::{assert_close, json, parse, Fixture};
use ch02_schedule::{BetaSchedule, Schedule};
use ch07_ddim::{pairs, Ddim, DpmSolver, TimestepSpacing};

fn linear() -> Schedule {
    Schedule::new(BetaSchedule::Linear, 1000)
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
    let [x_t, noise, answer] =
        ["sample", "noise", "model_output.0"].map(|name| fixture.images(&device, name));
    let schedule = linear();
    let cases = json("few_steps.json");
    let cases = cases["steps"].as_array().unwrap();
    assert!(cases.len() >= 243);
    for case in cases {
        let ddim = Ddim {
            schedule: &schedule,
            prediction_type: parse(&case["prediction_type"]),
            clip: case["clip_sample"].as_bool().unwrap().then_some(1.0),
            use_clipped_model_output: case["use_clipped_model_output"].as_bool().unwrap(),
            eta: case["eta"].as_f64().unwrap(),
        };
        let t = case["timestep"].as_u64().unwrap() as usize;
        let key = case["key"].as_str().unwrap();
        let found = ddim.step(t, parse(&case["previous"]), &x_t, &answer, Some(&noise));
        assert_close(key, &found, &fixture.images(&device, key), 1e-5);
    }
}

#[test]
fn dpm_solver_walks() {
    let device = ops::open_device(0).unwrap();
    let fixture = Fixture::read("few_steps.safetensors");
    let schedule = linear();
    let cases = json("few_steps.json");
    let cases = cases["walks"].as_array().unwrap();
    assert!(cases.len() >= 9);
    for case in cases {
        let prediction_type = parse(&case["prediction_type"]);
        let mut solver = DpmSolver::new(Ddim::new(&schedule, prediction_type, None, 0.0));
        let mut x = fixture.images(&device, "sample");
        let timesteps: Vec<usize> = parse(&case["timesteps"]);
        for (i, (t, prev)) in pairs(&timesteps).enumerate() {
            x = solver.step(t, prev, &x, &fixture.images(&device, &format!("model_output.{i}")));
            let key = format!(
                "walk.{}.{}.{i}",
                case["spacing"].as_str().unwrap(),
                case["prediction_type"].as_str().unwrap()
            );
            assert_close(&key, &x, &fixture.images(&device, &key), 1e-5);
        }
    }
}
