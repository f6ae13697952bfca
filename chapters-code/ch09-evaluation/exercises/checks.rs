//! The tests that an answer must pass. Each is named after the function that it tests.

use super::answers;

#[test]
fn spread() {
    let (mean, deviation) = answers::spread(&[1.0, 2.0, 6.0]);
    assert!((mean - 3.0).abs() < 1e-12, "{mean}");
    assert!((deviation - 7f64.sqrt()).abs() < 1e-12, "{deviation}");
}

#[test]
fn frechet() {
    assert_eq!(answers::frechet((2.0, 3.0), (2.0, 3.0)), 0.0);
    assert!((answers::frechet((0.0, 1.0), (3.0, 1.0)) - 9.0).abs() < 1e-12);
    assert!((answers::frechet((0.0, 1.0), (3.0, 5.0)) - 25.0).abs() < 1e-12);
}

#[test]
fn share_among() {
    let real = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0];
    let drawn = [0.5, 1.5, 1.0, 0.75];
    assert_eq!(answers::share_among(&drawn, &real), 1.0, "every one of them is good");
    assert_eq!(
        answers::share_among(&real, &drawn),
        1.0 / 3.0,
        "but most kinds are missing"
    );
    assert_eq!(answers::share_among(&[5.0], &real), 0.0);
}

#[test]
fn nearer_to_training() {
    let images = |values: &[f32]| -> Vec<Vec<f32>> {
        values.iter().map(|&value| vec![value, -value]).collect()
    };
    let (training, heldout) = (images(&[0.0, 1.0, 2.0]), images(&[0.4, 1.4, 2.4]));
    let share = |drawn: &[f32]| {
        answers::nearer_to_training(&images(drawn), &training, &heldout)
    };
    assert_eq!(share(&[0.01, 1.05, 1.98]), 1.0, "copies");
    assert_eq!(share(&[0.39, 1.41]), 0.0);
    assert_eq!(share(&[0.1, 0.3, 1.1, 1.3]), 0.5);
}
