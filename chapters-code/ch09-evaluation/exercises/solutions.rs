//! One way to answer.

use ch09_evaluation::nearest;

// ANCHOR: solutions
/// The mean and the standard deviation of some numbers (divide by one less than their
/// count).
pub fn spread(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// The Fréchet distance between two one-dimensional Gaussians, each given by its mean
/// and its standard deviation.
pub fn frechet(a: (f64, f64), b: (f64, f64)) -> f64 {
    // σ₁² + σ₂² - 2 √(σ₁² σ₂²) is the squared difference of the deviations.
    (a.0 - b.0).powi(2) + (a.1 - b.1).powi(2)
}

/// The share of `points` that lie among `crowd`, that is, no farther from some member
/// of the crowd than that member is from its nearest neighbour in the crowd.
pub fn share_among(points: &[f64], crowd: &[f64]) -> f64 {
    let reach = |i: usize| {
        let others = crowd.iter().enumerate().filter(|(j, _)| *j != i);
        others.map(|(_, x)| (x - crowd[i]).abs()).fold(f64::INFINITY, f64::min)
    };
    let among =
        |point: &&f64| (0..crowd.len()).any(|i| (*point - crowd[i]).abs() <= reach(i));
    points.iter().filter(among).count() as f64 / points.len() as f64
}
// ANCHOR_END: solutions

// ANCHOR: project
/// The share of the images in `drawn` that are nearer to one of `training` than to any
/// of `heldout`, which holds as many images as `training`.
pub fn nearer_to_training(
    drawn: &[Vec<f32>],
    training: &[Vec<f32>],
    heldout: &[Vec<f32>],
) -> f64 {
    let pairs = nearest(drawn, training).into_iter().zip(nearest(drawn, heldout));
    let nearer = pairs.filter(|(seen, unseen)| seen.difference < unseen.difference);
    nearer.count() as f64 / drawn.len() as f64
}
// ANCHOR_END: project
