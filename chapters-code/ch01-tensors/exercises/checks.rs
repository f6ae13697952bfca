//! What an answer must pass.

use ch01_tensors::{Cats, Dataset, Split};

use super::answers::{average, from_pixels, grey};

#[test]
fn pixels_become_channels() {
    // Two pixels: red, and a dark blue.
    let found = from_pixels(&[255, 0, 0, 0, 0, 51], 1, 2);
    assert_eq!(found.len(), 6);
    for (found, wanted) in found.iter().zip([1.0, -1.0, -1.0, -1.0, -1.0, -0.6]) {
        assert!((found - wanted).abs() < 1e-6, "{found}, not {wanted}");
    }
}

#[test]
fn grey_is_the_mean_of_the_channels() {
    let found = grey(&[1.0, 0.0, 0.5, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.5, -1.0]);
    assert_eq!(found.len(), 4);
    for (found, wanted) in found.iter().zip([0.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]) {
        assert!((found - wanted).abs() < 1e-6, "{found}, not {wanted}");
    }
}

#[test]
fn the_average_cat() {
    let cats = Cats::new(Split::HeldOut);
    assert_eq!(average(&cats, 1), cats.image(0));
    let found = average(&cats, 3);
    for i in [0, 100, 767] {
        let wanted = (cats.image(0)[i] + cats.image(1)[i] + cats.image(2)[i]) / 3.0;
        assert!(
            (found[i] - wanted).abs() < 1e-6,
            "value {i}: {}, not {wanted}",
            found[i]
        );
    }
}
