//! What an answer must pass.

use super::answers::{frechet, share_among, spread};

#[test]
fn three_seeds_have_a_spread() {
    let (mean, deviation) = spread(&[1.0, 2.0, 6.0]);
    assert!((mean - 3.0).abs() < 1e-12, "{mean}");
    assert!((deviation - 7f64.sqrt()).abs() < 1e-12, "{deviation}");
}

#[test]
fn equal_crowds_are_not_apart() {
    assert_eq!(frechet((2.0, 3.0), (2.0, 3.0)), 0.0);
    assert!((frechet((0.0, 1.0), (3.0, 1.0)) - 9.0).abs() < 1e-12);
    assert!((frechet((0.0, 1.0), (3.0, 5.0)) - 25.0).abs() < 1e-12);
}

#[test]
fn a_crowd_without_variety_misses_most() {
    let real = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0];
    let drawn = [0.5, 1.5, 1.0, 0.75];
    assert_eq!(share_among(&drawn, &real), 1.0, "every one of them is good");
    assert_eq!(share_among(&real, &drawn), 1.0 / 3.0, "but most kinds are missing");
    assert_eq!(share_among(&[5.0], &real), 0.0);
}
