//! One way to answer.

// ANCHOR: solutions
/// What guidance makes of two answers of the network.
pub fn guide(uncond: &[f32], cond: &[f32], guidance_scale: f32) -> Vec<f32> {
    uncond.iter().zip(cond).map(|(u, c)| u + guidance_scale * (c - u)).collect()
}

/// The scale at which guidance gives this answer, the same for all values, if there is
/// one such scale.
pub fn scale_of(uncond: &[f32], cond: &[f32], guided: &[f32]) -> f32 {
    // The length of the way that was gone, along the way that was shown (least
    // squares).
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let difference = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f32>>()
    };
    let (shown, gone) = (difference(cond, uncond), difference(guided, uncond));
    dot(&gone, &shown) / dot(&shown, &shown)
}

/// Two wishes at once: from `uncond` towards both, each with its own scale (Liu et al.
/// 2022).
pub fn both(uncond: &[f32], wishes: &[(&[f32], f32)]) -> Vec<f32> {
    let mut sum = uncond.to_vec();
    for (cond, scale) in wishes {
        for ((sum, u), c) in sum.iter_mut().zip(uncond).zip(*cond) {
            *sum += scale * (c - u);
        }
    }
    sum
}
// ANCHOR_END: solutions
