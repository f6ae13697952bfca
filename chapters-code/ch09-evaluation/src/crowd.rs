//! Are the images good, and are they varied? Two questions that one distance cannot separate.

use rayon::prelude::*;

// ANCHOR: reach
/// How far each member of a crowd reaches: the distance to its `k`-th nearest neighbour
/// in the crowd.
///
/// # Panics
/// If the crowd has no more than `k` members.
fn reaches(crowd: &[Vec<f64>], k: usize) -> Vec<f64> {
    assert!(crowd.len() > k, "a crowd of {} has no {k} neighbours", crowd.len());
    let reach = |member: &Vec<f64>| {
        let mut squares: Vec<f64> =
            crowd.iter().map(|other| distance(member, other)).collect();
        // The nearest of all is the member itself.
        *squares.select_nth_unstable_by(k, f64::total_cmp).1
    };
    crowd.par_iter().map(reach).collect()
}

/// The share of `points` that lie within the reach of a member of `crowd`
/// (Kynkäänniemi et al. 2019, eq. 1 and 2). With the features of drawn images as the
/// points and those of real ones as the crowd, it is the *precision* of the drawn
/// images: how many look real. The other way round, it is their *recall*: how much of
/// what is real they cover.
///
/// # Panics
/// If the crowd has no more than `k` members.
pub fn share_within(points: &[Vec<f64>], crowd: &[Vec<f64>], k: usize) -> f64 {
    let reaches = reaches(crowd, k);
    let is_within = |point: &&Vec<f64>| {
        let mut members = crowd.iter().zip(&reaches);
        members.any(|(member, reach)| distance(point, member) <= *reach)
    };
    points.par_iter().filter(is_within).count() as f64 / points.len() as f64
}
// ANCHOR_END: reach

/// The squared distance.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
