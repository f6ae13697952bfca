//! The tests that an answer must pass. Each is named after the function that it tests.

use ch01_tensors::{Cats, Dataset, Split};

use super::answers;

#[test]
fn from_pixels() {
    // Two pixels: red, and a dark blue.
    let found = answers::from_pixels(&[255, 0, 0, 0, 0, 51], 1, 2);
    assert_eq!(found.len(), 6);
    for (found, wanted) in found.iter().zip([1.0, -1.0, -1.0, -1.0, -1.0, -0.6]) {
        assert!((found - wanted).abs() < 1e-6, "{found}, not {wanted}");
    }
}

#[test]
fn grey() {
    let found =
        answers::grey(&[1.0, 0.0, 0.5, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.5, -1.0]);
    assert_eq!(found.len(), 4);
    for (found, wanted) in found.iter().zip([0.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]) {
        assert!((found - wanted).abs() < 1e-6, "{found}, not {wanted}");
    }
}

#[test]
fn average() {
    let cats = Cats::new(Split::HeldOut);
    assert_eq!(answers::average(&cats, 1), cats.image(0));
    let found = answers::average(&cats, 3);
    for i in [0, 100, 767] {
        let wanted = (cats.image(0)[i] + cats.image(1)[i] + cats.image(2)[i]) / 3.0;
        assert!(
            (found[i] - wanted).abs() < 1e-6,
            "value {i}: {}, not {wanted}",
            found[i]
        );
    }
}

#[test]
fn nearest() {
    let cats = Cats::new(Split::Train);
    assert_eq!(answers::nearest(&cats.image(7), &cats, 20), (7, 0.0));
    // An image between two others, three quarters of the way to the second.
    let [a, b] = [cats.image(3), cats.image(11)];
    let between: Vec<f32> =
        a.iter().zip(&b).map(|(a, b)| 0.25 * a + 0.75 * b).collect();
    let squares: f32 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum();
    let (index, difference) = answers::nearest(&between, &cats, 12);
    assert_eq!(index, 11);
    assert!((difference - squares / 16.0 / 768.0).abs() < 1e-6, "{difference}");
}
