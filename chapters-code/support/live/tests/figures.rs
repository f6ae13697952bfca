//! The figures show what the chapters' functions compute, and reject what they cannot show.

use std::path::Path;

use ch04_unet::model_dir;
use ch06_sampling::{denoiser, noise_per_image, sources, walk};
use ch07_ddim::{Ddim, TimestepSpacing};
use live::Frame;

/// Pictures stand side by side in a frame, one pixel apart, and each has this height and width.
const SIDE: u32 = 16;
/// From the left edge of one picture to that of the next.
const STEP: u32 = SIDE + 1;

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
    assert!(frames[0].caption.starts_with("t = 999:"));
    let last = &frames[6].picture;
    // Two rows with the same cats.
    let expected = figures::image_grid(&cats, 4, 1);
    for (x, y, pixel) in expected.enumerate_pixels() {
        for row in [0, expected.height() + 1] {
            assert_eq!(last.get_pixel(x, y + row).0[..3], pixel.0);
        }
    }
}

/// The part of a picture that shows one image of a row.
fn column(frame: &Frame, number: u32) -> Vec<u8> {
    let pixels = frame.picture.enumerate_pixels();
    let columns = STEP * number..STEP * number + SIDE;
    let inside = pixels.filter(|(x, y, _)| columns.contains(x) && *y < SIDE);
    inside.flat_map(|(_, _, pixel)| pixel.0).collect()
}

#[test]
fn the_steps_in_the_open_are_those_of_the_walk_and_without_noise_they_are_others() {
    let walk = frames(r#"{"figure": "ancestral", "seed": 4}"#).unwrap();
    let open = |noise: &str| {
        frames(&format!(r#"{{"figure": "one_step", "seed": 4, "noise": "{noise}"}}"#)).unwrap()
    };
    let right = open("right");
    assert_eq!((right.len(), right[0].columns), (walk.len(), 5));
    // The prediction of x0 is the second picture in one figure, and the third in the other.
    assert_eq!(column(&right[199], 2), column(&walk[199], 1));
    for wrong in ["none", "variance used as deviation"] {
        assert_ne!(column(&open(wrong)[199], 2), column(&walk[199], 1), "{wrong}");
    }
}

#[test]
fn at_both_ends_of_the_way_are_the_cats_of_both_noises() {
    for along in ["arc", "line"] {
        for (place, end) in [(0, 0), (1, 2)] {
            let settings = format!(
                r#"{{"figure": "noise_walk", "from": 3, "to": 4, "place": {place},
                    "along": "{along}"}}"#
            );
            let [frame] = <[Frame; 1]>::try_from(frames(&settings).unwrap()).unwrap();
            let (found, expected) = (column(&frame, 1), column(&frame, end));
            assert!(found.iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= 1), "{settings}");
            assert_ne!(column(&frame, 0), column(&frame, 2));
        }
    }
}

#[test]
fn with_more_steps_solvers_come_nearer_to_the_end_of_the_long_walk() {
    let race = frames(r#"{"figure": "race", "seed": 0}"#).unwrap();
    let difference = |frame: &Frame, number: u32| -> f64 {
        let pairs = column(frame, number).into_iter().zip(column(frame, 2));
        pairs.map(|(a, b)| a.abs_diff(b) as f64).sum()
    };
    let (first, last) = (&race[2], &race[race.len() - 1]);
    for solver in [0, 1] {
        assert!(difference(last, solver) < 0.3 * difference(first, solver), "{solver}");
    }
}

#[test]
fn the_numbers_of_a_pixel_are_those_of_the_cat() {
    let settings = r#"{"figure": "cat", "fur": "grey", "pattern": "solid", "eyes": "blue",
        "ears": "folded", "background": "pink", "tilt": 0, "size": 1, "column": 2, "row": 1}"#;
    let [frame] = <[Frame; 1]>::try_from(frames(settings).unwrap()).unwrap();
    let words: Vec<&str> = frame.caption.split([' ', ',', ';']).collect();
    let after = |word: &str| words[words.iter().position(|w| *w == word).unwrap() + 3];
    assert_eq!(["red", "green", "blue"].map(after), ["18", "274", "530"], "{}", frame.caption);
    // Pink: much red, less green.
    let value = |place: &str| -> f64 {
        words[words.iter().position(|w| *w == place).unwrap() + 2].parse().unwrap()
    };
    assert!(value("18") > value("274") + 0.1, "{}", frame.caption);
}

#[test]
fn only_pixels_in_blocks_with_attention_look_elsewhere() {
    let caption = |block: &str, column: usize| {
        let settings = format!(
            r#"{{"figure": "lens", "cat": 1, "t": 100, "block": "{block}", "cut": "none",
                "column": {column}, "row": 7}}"#
        );
        let [frame] = <[Frame; 1]>::try_from(frames(&settings).unwrap()).unwrap();
        frame.caption
    };
    for block in ["down_blocks.1/0", "mid_block/0", "up_blocks.1/0", "up_blocks.1/1"] {
        let percent = |column| -> f64 {
            let text = caption(block, column);
            let percent = text.split(" up to ").nth(1).unwrap().split(' ').next().unwrap();
            percent.parse().unwrap()
        };
        // At least an equal share of the whole, but not all of it.
        for column in [0, 15] {
            assert!((2.0..100.0).contains(&percent(column)), "{block}: {}", caption(block, column));
        }
    }
    for block in ["conv_in/0", "down_blocks.0/0", "mid_block/1"] {
        assert!(caption(block, 0).ends_with("no attention here"), "{block}");
    }
}

#[test]
fn without_skips_the_network_sees_less() {
    let error = |cut: &str| -> f64 {
        let settings = format!(
            r#"{{"figure": "lens", "cat": 1, "t": 100, "block": "mid_block/0", "cut": "{cut}",
                "column": 0, "row": 15}}"#
        );
        let [frame] = <[Frame; 1]>::try_from(frames(&settings).unwrap()).unwrap();
        let number = frame.caption.split(" off by ").nth(1).unwrap().split(';').next().unwrap();
        number.parse().unwrap()
    };
    let whole = error("none");
    for cut in ["16×16", "8×8"] {
        assert!(error(cut) > 1.5 * whole, "{cut}: {} and {whole}", error(cut));
    }
    assert_ne!(error("4×4"), whole);
}

#[test]
fn a_training_in_the_page_learns_and_with_long_steps_it_does_not() {
    let last = |learning_rate: f64| {
        let settings = format!(
            r#"{{"figure": "training", "learning_rate": {learning_rate}, "steps": 100, "seed": 0}}"#
        );
        let caption = frames(&settings).unwrap().pop().unwrap().caption;
        caption.rsplit(' ').next().unwrap().parse::<f64>()
    };
    assert!(last(-2.5).unwrap() < 0.4);
    assert!(last(0.0).map_or(true, |loss| loss > 0.8));
}

#[test]
fn at_scale_1_the_guided_walk_is_the_walk_with_the_prompt() {
    let all = frames(
        r#"{"figure": "guidance", "prompt": "a black cat", "negative_prompt": "",
            "guidance_scale": 1, "seed": 0}"#,
    );
    let all = all.unwrap();
    let last = &all[all.len() - 1];
    assert_eq!(column(last, 1), column(last, 2));
    assert_ne!(column(last, 0), column(last, 1));
}

/// A board of one colour, where the network may draw in the rows that are marked.
fn board(marked: std::ops::Range<usize>, strength: f64) -> String {
    let mask: String =
        (0..256).map(|i| if marked.contains(&(i / 16)) { '1' } else { '0' }).collect();
    format!(
        r#"{{"figure": "paint", "prompt": "a black cat", "colors": "red #ff0000, teal #008080",
            "image": "{}", "mask": "{mask}", "strength": {strength}, "seed": 0}}"#,
        "1".repeat(256)
    )
}

#[test]
fn inpainting_keeps_what_the_reader_painted() {
    let all = frames(&board(4..8, 0.5)).unwrap();
    assert_eq!(all.len(), 21);
    let cat = column(&all[20], 1);
    let rows: Vec<&[u8]> = cat.chunks(4 * SIDE as usize).collect();
    for (i, row) in rows.iter().enumerate() {
        let is_teal = row.chunks(4).all(|pixel| pixel == [0, 128, 128, 255]);
        assert_eq!(is_teal, !(4..8).contains(&i), "row {i}");
    }
}

#[test]
fn with_strength_the_painted_picture_goes() {
    let teal = |strength: f64| -> f64 {
        let all = frames(&board(0..0, strength)).unwrap();
        let cat = column(&all[all.len() - 1], 0);
        let off = cat
            .chunks(4)
            .map(|p| p.iter().zip([0, 128, 128]).map(|(a, b)| a.abs_diff(b) as f64).sum::<f64>());
        off.sum::<f64>() / (SIDE * SIDE) as f64
    };
    let [low, high] = [0.1, 0.9].map(teal);
    assert!(high > 3.0 * low, "{low} {high}");
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
    let difference = |picture: &figures::RgbaImage, other: u32| {
        let square = |x: u32, y: u32, c: usize| {
            let pixel = |number: u32| picture.get_pixel(STEP * number + x, y).0[c];
            pixel(1).abs_diff(pixel(other)) as f64
        };
        let all = (0..SIDE)
            .flat_map(|x| (0..SIDE).flat_map(move |y| (0..3).map(move |c| square(x, y, c))));
        all.sum::<f64>() / (3 * SIDE * SIDE) as f64
    };
    for schedule in ["linear", "squaredcos_cap_v2"] {
        let (first, last) = (at(0, schedule), at(999, schedule));
        assert_eq!(first.dimensions(), (2 * STEP + SIDE, SIDE));
        assert!(difference(&first, 0) < 2.0 && difference(&first, 2) > 20.0, "{schedule}");
        assert!(difference(&last, 2) < 2.0 && difference(&last, 0) > 20.0, "{schedule}");
    }
}

#[test]
fn what_cannot_be_shown_is_refused_in_a_sentence() {
    for (settings, named) in [
        (r#"{"figure": "moon"}"#, "moon"),
        (r#"{"figure": "noising", "t": 1000, "schedule": "linear", "cat": 0}"#, "0 to 999"),
        (r#"{"figure": "noising", "t": 10, "schedule": "steep", "cat": 0}"#, "steep"),
        (r#"{"figure": "noising", "t": 10, "schedule": "linear", "cat": 200000}"#, "0 to 199999"),
        (r#"{"figure": "few_steps", "steps": 0, "eta": 0, "seed": 0}"#, "0 steps"),
        (r#"{"figure": "few_steps", "steps": 5, "eta": 1.5, "seed": 0}"#, "eta = 1.5"),
        (r#"{"figure": "few_steps", "steps": 5, "eta": 0, "seed": 0, "speed": 3}"#, "speed"),
        (r#"{"figure": "ancestral", "seed": -1}"#, "-1"),
        (r#"{"figure": "one_step", "seed": 0, "noise": "some"}"#, "some"),
        (r#"{"figure": "words", "prompt": "a cat", "word": 3, "seed": 0}"#, "words 1 to 2"),
        (&board(0..0, 1.5), "strength = 1.5"),
        (&board(0..0, 0.0), "with so little noise"),
        (&board(0..17, 0.5).replace("teal #008080", "teal"), "'teal' is not a name and a code"),
        (&board(0..1, 0.5).replace("111", "11"), "256 digits below 2"),
        (&board(0..0, 0.5).replace("red #ff0000, ", ""), "image: there must be 256 digits below 1"),
        (
            r#"{"figure": "cat", "fur": "purple", "pattern": "solid", "eyes": "green", "ears": "up",
                "background": "pink", "tilt": 0, "size": 1, "column": 0, "row": 0}"#,
            "purple",
        ),
        (
            r#"{"figure": "lens", "cat": 0, "t": 10, "block": "attic/0", "cut": "none",
                "column": 0, "row": 0}"#,
            "no such block",
        ),
        (
            r#"{"figure": "training", "learning_rate": 5, "steps": 10, "seed": 0}"#,
            "learning_rate = 5",
        ),
        (
            r#"{"figure": "plane", "data": "what you mark", "steps": 2, "eta": 0, "show": "paths",
                "seed": 0, "mask": "01"}"#,
            "mask: there must be 256 digits",
        ),
        (
            r#"{"figure": "plane", "data": "a ring", "steps": 0, "eta": 0, "show": "paths",
                "seed": 0}"#,
            "steps = 0",
        ),
        (
            r#"{"figure": "schedule_bench", "schedule": "linear", "first": 0, "last": 2,
                "timesteps": 10, "betas": "right"}"#,
            "between 0 and 1",
        ),
        (
            r#"{"figure": "noise_walk", "from": 0, "to": 1, "place": 1.5, "along": "arc"}"#,
            "place = 1.5",
        ),
        (
            r#"{"figure": "guidance", "prompt": "a cat", "negative_prompt": "a dog",
                "guidance_scale": 2, "seed": 0}"#,
            "dog",
        ),
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
