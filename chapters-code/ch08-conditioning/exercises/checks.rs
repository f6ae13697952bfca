//! What an answer must pass.

use super::answers::{both, guide, scale_of};

fn near(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    assert!(
        found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-5),
        "{found:?}, not {wanted:?}"
    );
}

#[test]
fn guidance_goes_on_beyond_the_wish() {
    let (uncond, cond) = ([0.0, 1.0, -1.0], [1.0, 1.0, 0.5]);
    near(&guide(&uncond, &cond, 0.0), &uncond);
    near(&guide(&uncond, &cond, 1.0), &cond);
    near(&guide(&uncond, &cond, 2.0), &[2.0, 1.0, 2.0]);
}

#[test]
fn the_scale_can_be_read_from_the_answer() {
    let (uncond, cond) = ([0.2, 1.0, -1.0, 0.0], [1.0, 0.7, 0.5, 0.1]);
    for scale in [0.0, 0.5, 3.0] {
        let guided: Vec<f32> =
            uncond.iter().zip(&cond).map(|(u, c)| u + scale * (c - u)).collect();
        let found = scale_of(&uncond, &cond, &guided);
        assert!((found - scale).abs() < 1e-5, "{found}, not {scale}");
    }
}

#[test]
fn two_wishes_add_up() {
    let (uncond, grey, striped) = ([0.0, 0.0], [1.0, 0.0], [0.0, 2.0]);
    near(&both(&uncond, &[(&grey, 1.0), (&striped, 1.5)]), &[1.0, 3.0]);
    near(&both(&[1.0, 1.0], &[(&[2.0, 0.0], 2.0)]), &[3.0, -1.0]);
    near(&both(&uncond, &[]), &uncond);
}
