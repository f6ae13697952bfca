//! The cats: their captions, their range, and the attributes read back from them.

use ch01_tensors::cats::{
    attributes_of, draw, nth, read, with_article, Attributes, Background, Ears, Eyes,
    Fur, Pattern,
};
use rand::{Rng, SeedableRng};

#[test]
fn captions_say_what_is_drawn() {
    let mut cat = Attributes {
        fur: Fur::Orange,
        pattern: Pattern::Striped,
        eyes: Eyes::Green,
        ears: Ears::Up,
        background: Background::Pink,
    };
    assert_eq!(
        cat.caption(),
        "a striped orange cat with green eyes on a pink background"
    );
    cat.ears = Ears::Folded;
    assert_eq!(
        cat.caption(),
        "a striped orange cat with green eyes and folded ears on a pink background"
    );
    let captions: std::collections::HashSet<String> =
        Attributes::all().map(|a| a.caption()).collect();
    assert_eq!(captions.len(), 432);
    assert_eq!(with_article("orange"), "an orange");
}

#[test]
fn a_cat_is_its_seed_and_number() {
    let cat = |seed, index| {
        let (attributes, pose) = nth(seed, index);
        draw(&attributes, &pose)
    };
    assert_eq!(cat(0, 7), cat(0, 7));
    assert_ne!(cat(0, 7), cat(0, 8));
    assert_ne!(cat(0, 7), cat(1, 7));
    for i in 0..200 {
        assert!(cat(0, i).iter().all(|v| (-1.0..=1.0).contains(v)));
    }
}

/// A sum of twelve uniform numbers, which is near enough to a bell curve here.
fn bell(rng: &mut impl Rng) -> f32 {
    (0..12).map(|_| rng.gen::<f32>()).sum::<f32>() - 6.0
}

// ANCHOR: attributes
/// How many of `count` cats are misread when noise of this standard deviation is added.
fn misread(count: u64, noise: f32) -> usize {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let mut wrong = 0;
    for i in 0..count {
        let (attributes, pose) = nth(99, i);
        let mut image = draw(&attributes, &pose);
        for v in &mut image {
            *v += noise * bell(&mut rng);
        }
        let found = attributes_of(&image);
        if found != attributes {
            println!("{attributes:?} {pose:?}\n  read as {found:?}");
            wrong += 1;
        }
    }
    wrong
}

#[test]
fn attributes_are_read_back_from_pixels() {
    assert!(misread(400, 0.0) <= 2, "at least 99.5 % of clean cats");
}
// ANCHOR_END: attributes

/// The search ends near the cat that was drawn, and noise adds to the distance in
/// quadrature.
#[test]
fn the_residual_is_the_distance_to_what_can_be_drawn() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    for noise in [0.0f32, 0.1, 0.3] {
        let mut residuals: Vec<f32> = (0..60)
            .map(|i| {
                let (attributes, pose) = nth(98, i);
                let mut image = draw(&attributes, &pose);
                image.iter_mut().for_each(|v| *v += noise * bell(&mut rng));
                read(&image).residual
            })
            .collect();
        residuals.sort_by(f32::total_cmp);
        let (median, limit) = (residuals[30], noise.hypot(0.05));
        assert!((0.95 * noise..limit).contains(&median), "{noise}: {median}");
    }
}

#[test]
fn attributes_are_read_back_through_noise() {
    assert!(misread(200, 0.1) <= 6, "at least 97 % of cats under noise");
}
