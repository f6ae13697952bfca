//! Reading the attributes back from pixels: draw every kind of cat and see which comes
//! nearest.

use std::sync::OnceLock;

use super::{draw, Attributes, Pose};

/// How many kinds of cat are looked at closely after the first, coarse comparison.
const FINALISTS: usize = 8;

/// Every kind of cat in a few poses.
fn table() -> &'static [(Attributes, Pose, Vec<f32>)] {
    static TABLE: OnceLock<Vec<(Attributes, Pose, Vec<f32>)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Vec::new();
        for attributes in Attributes::all() {
            for i in 0..27 {
                let step = |n: i32| (n % 3 - 1) as f32;
                let pose = Pose {
                    dx: 0.6 * step(i),
                    dy: 0.6 * step(i / 3),
                    tilt: 0.09 * step(i / 9),
                    ..Pose::MIDDLE
                };
                table.push((attributes, pose, draw(&attributes, &pose)));
            }
        }
        table
    })
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// What was read from an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The attributes of the nearest cat that can be drawn.
    pub attributes: Attributes,
    /// The root mean square difference from that cat, as small as the search can make it; about
    /// 0.03 for cats drawn by `draw`, whatever their pose.
    pub residual: f32,
}

/// The attributes of the cat that comes nearest to an image, as [`read()`] finds them.
///
/// # Panics
/// If the image does not have `3 × 16 × 16` values.
pub fn attributes_of(image: &[f32]) -> Attributes {
    read(image).attributes
}

/// Looks for the cat that comes nearest to an image of `3 × 16 × 16` values, by the sum
/// of squared differences.
///
/// # Panics
/// If the image does not have `3 × 16 × 16` values.
pub fn read(image: &[f32]) -> Reading {
    assert_eq!(
        image.len(),
        3 * super::SIZE * super::SIZE,
        "a cat has 3 x 16 x 16 values"
    );
    let mut ranking: Vec<(f32, usize)> = table()
        .iter()
        .enumerate()
        .map(|(i, (_, _, cat))| (distance(image, cat), i))
        .collect();
    ranking.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut finalists: Vec<(Attributes, Pose, f32)> = Vec::new();
    for (distance, i) in ranking {
        let (attributes, pose, _) = table()[i];
        if finalists.iter().all(|f| f.0 != attributes) {
            finalists.push((attributes, pose, distance));
        }
        if finalists.len() == FINALISTS {
            break;
        }
    }
    let refined = finalists.into_iter().map(|f| (refine(image, f), f.0));
    let (squares, attributes) =
        refined.min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are finalists");
    Reading { attributes, residual: (squares / image.len() as f32).sqrt() }
}

/// The smallest distance that can be reached by changing the pose, one number at a time, in ever
/// smaller steps.
fn refine(
    image: &[f32],
    (attributes, mut pose, mut best): (Attributes, Pose, f32),
) -> f32 {
    let mut step = 1.0;
    while step > 0.2 {
        let mut improved = false;
        for (number, size) in [(0, 0.3), (1, 0.3), (2, 0.04), (3, 0.05), (4, 0.04)] {
            for direction in [-size, size] {
                let mut other = pose;
                let field = [
                    &mut other.dx,
                    &mut other.dy,
                    &mut other.size,
                    &mut other.tilt,
                    &mut other.shade,
                ];
                *field.into_iter().nth(number).expect("there are five") +=
                    step * direction;
                let distance = distance(image, &draw(&attributes, &other));
                if distance < best {
                    (pose, best, improved) = (other, distance, true);
                }
            }
        }
        if !improved {
            step *= 0.5;
        }
    }
    best
}
