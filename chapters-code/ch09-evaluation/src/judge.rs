//! What was measured on drawn images, against what was measured on real ones.

/// The number that a given share (from 0 to 1) of `values` does not exceed.
///
/// # Panics
/// If there are no values, or if the share is not between 0 and 1.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    assert!((0.0..=1.0).contains(&share), "a share of {share}");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(share * (sorted.len() - 1) as f64).round() as usize]
}

/// The share of `values` above a limit.
pub fn share_above(values: &[f64], limit: f64) -> f64 {
    values.iter().filter(|&&value| value > limit).count() as f64 / values.len() as f64
}

// ANCHOR: auc
/// The chance that one of `values`, picked at random, is larger than one of `others`,
/// where a tie counts as half (Hanley & McNeil 1982: the area under the curve, AUC).
/// It is 0.5 if the two cannot be told apart, and 1 if they always can.
///
/// # Panics
/// If there are no values or no others.
pub fn chance_larger(values: &[f64], others: &[f64]) -> f64 {
    assert!(!values.is_empty() && !others.is_empty(), "nothing to compare");
    let mut sorted = others.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |value: f64| {
        let smaller = sorted.partition_point(|&other| other < value);
        let not_larger = sorted.partition_point(|&other| other <= value);
        (smaller + not_larger) as f64 / 2.0
    };
    values.iter().map(|&value| below(value)).sum::<f64>()
        / (values.len() * others.len()) as f64
}
// ANCHOR_END: auc
