//! The figures show what the chapters' functions say, and refuse what they cannot show.

use std::path::Path;

use ch04_unet::model_dir;
use ch06_sampling::{denoiser, noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use live::Frame;

fn frames(settings: &str) -> anyhow::Result<Vec<Frame>> {
    for name in ["cats", "cats-text"] {
        let folder = cli::shipped(name);
        for path in files::below(&folder).unwrap() {
            live::hold(Path::new(name).join(&path), files::read(folder.join(path)).unwrap());
        }
    }
    Ok(live::frames(settings)?.collect())
}

#[test]
fn a_walk_ends_at_the_cats_of_chapter_7() {
    let device: ops::AutoDevice = ops::open_device(0).unwrap();
    let model = model_dir::load(&device, &cli::shipped("cats")).unwrap();
    let mut rngs = sources(5, 0..4);
    let noise = noise_per_image(&device, (4, 3, 16, 16), &mut rngs);
    let timesteps = TimestepSpacing::Trailing.timesteps(1000, 6, 0);
    let ddim = Ddim::for_model(&model, 0.5);
    let denoise = denoiser(&device, &model.network);
    let cats = walk(ddim, noise, &timesteps, rngs, denoise).finish();

    let frames = frames(r#"{"figure": "few_steps", "steps": 6, "eta": 0.5, "seed": 5}"#).unwrap();
    assert_eq!(frames.len(), 7);
    assert_eq!(frames[0].caption, "t = 999");
    let last = &frames[6].picture;
    // Two rows with the same cats.
    let expected = figures::image_grid(&cats, 4, 4);
    for (x, y, pixel) in expected.enumerate_pixels() {
        assert_eq!(last.get_pixel(x, y), pixel);
        assert_eq!(last.get_pixel(x, y + expected.height() + 1), pixel);
    }
}

#[test]
fn at_the_first_timestep_there_is_the_cat_and_at_the_last_the_noise() {
    let at = |t: usize, schedule: &str| {
        let frames = frames(&format!(
            r#"{{"figure": "noising", "t": {t}, "schedule": "{schedule}", "cat": 7}}"#
        ));
        let [frame] = frames.unwrap().try_into().unwrap();
        frame.picture
    };
    // Three pictures of 64 pixels side by side, with a gap of one.
    let difference = |picture: &figures::RgbImage, other: u32| {
        let square = |x: u32, y: u32, c: usize| {
            picture.get_pixel(65 + x, y).0[c].abs_diff(picture.get_pixel(other + x, y).0[c]) as f64
        };
        let all =
            (0..64).flat_map(|x| (0..64).flat_map(move |y| (0..3).map(move |c| square(x, y, c))));
        all.sum::<f64>() / (3.0 * 64.0 * 64.0)
    };
    for schedule in ["linear", "squaredcos_cap_v2"] {
        let (first, last) = (at(0, schedule), at(999, schedule));
        assert_eq!(first.dimensions(), (194, 64));
        assert!(difference(&first, 0) < 2.0 && difference(&first, 130) > 20.0, "{schedule}");
        assert!(difference(&last, 130) < 2.0 && difference(&last, 0) > 20.0, "{schedule}");
    }
}

#[test]
fn what_cannot_be_shown_is_refused_in_a_sentence() {
    for (settings, named) in [
        (r#"{"figure": "moon"}"#, "moon"),
        (r#"{"figure": "noising", "t": 1000, "schedule": "linear", "cat": 0}"#, "0 to 999"),
        (r#"{"figure": "noising", "t": 10, "schedule": "steep", "cat": 0}"#, "steep"),
        (r#"{"figure": "noising", "t": 10, "schedule": "linear", "cat": 50000}"#, "0 to 49999"),
        (r#"{"figure": "few_steps", "steps": 0, "eta": 0, "seed": 0}"#, "0 steps"),
        (r#"{"figure": "few_steps", "steps": 5, "eta": 1.5, "seed": 0}"#, "eta = 1.5"),
        (r#"{"figure": "few_steps", "steps": 5, "eta": 0, "seed": 0, "speed": 3}"#, "speed"),
        (r#"{"figure": "ancestral", "seed": -1}"#, "-1"),
        (
            r#"{"figure": "prompt", "prompt": "a dog", "guidance_scale": 1,
                "seed": 0, "steps": 5}"#,
            "dog",
        ),
        (
            r#"{"figure": "prompt", "prompt": "a cat", "guidance_scale": -1,
                "seed": 0, "steps": 5}"#,
            "not below 0",
        ),
    ] {
        let problem = format!("{:#}", frames(settings).unwrap_err());
        assert!(problem.contains(named), "{settings}: {problem}");
    }
}
