//! How far apart two sets of images are, and whether one copies the other.

use nalgebra::DMatrix;
use rayon::prelude::*;

// ANCHOR: frechet
/// Mean and covariance of a set of rows.
fn moments(rows: &[Vec<f64>]) -> (DMatrix<f64>, DMatrix<f64>) {
    let (count, width) = (rows.len(), rows[0].len());
    let all = DMatrix::from_fn(count, width, |i, j| rows[i][j]);
    let mean = all.row_mean();
    let centred = DMatrix::from_fn(count, width, |i, j| all[(i, j)] - mean[j]);
    let covariance = centred.transpose() * &centred / (count as f64 - 1.0);
    (DMatrix::from_row_slice(1, width, mean.as_slice()), covariance)
}

/// The Fréchet distance between two Gaussians with the means and covariances of two
/// sets of features (Heusel et al. 2017, eq. 6):
/// |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½). It is 0 for equal sets, and shrinks as the
/// sets grow, so compare only distances between sets of the same size.
///
/// # Panics
/// If a set holds fewer than two rows, or rows differ in length.
pub fn frechet_distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    assert!(a.len() > 1 && b.len() > 1, "a covariance needs two rows");
    let ((mean_a, cov_a), (mean_b, cov_b)) = (moments(a), moments(b));
    // C₁ C₂ has the same eigenvalues as √C₁ C₂ √C₁, which is symmetric, so its
    // eigenvalues hardly suffer from rounding.
    let eigen = cov_a.clone().symmetric_eigen();
    let roots = DMatrix::from_diagonal(&eigen.eigenvalues.map(|v| v.max(0.0).sqrt()));
    let root = &eigen.eigenvectors * roots * eigen.eigenvectors.transpose();
    let product = &root * &cov_b * &root;
    let trace_of_root: f64 =
        product.symmetric_eigenvalues().iter().map(|v| v.max(0.0).sqrt()).sum();
    (mean_a - mean_b).norm_squared() + cov_a.trace() + cov_b.trace()
        - 2.0 * trace_of_root
}
// ANCHOR_END: frechet

// ANCHOR: kernel
/// The kernel distance (Bińkowski et al. 2018, section 4) with the kernel
/// (x·y / width + 1)³, estimated without bias: its expected value does not depend on
/// the size of the sets, and it can be just below 0.
///
/// # Panics
/// If a set holds fewer than two rows.
pub fn kernel_distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    assert!(a.len() > 1 && b.len() > 1, "pairs are needed");
    let kernel = |x: &[f64], y: &[f64]| {
        let dot: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
        (dot / x.len() as f64 + 1.0).powi(3)
    };
    let sum = |a: &[Vec<f64>], b: &[Vec<f64>]| -> f64 {
        let rows: Vec<f64> =
            a.par_iter().map(|x| b.iter().map(|y| kernel(x, y)).sum()).collect();
        rows.iter().sum()
    };
    let itself = |a: &[Vec<f64>]| a.iter().map(|x| kernel(x, x)).sum::<f64>();
    let (n, m) = (a.len() as f64, b.len() as f64);
    (sum(a, a) - itself(a)) / (n * (n - 1.0))
        + (sum(b, b) - itself(b)) / (m * (m - 1.0))
        - 2.0 * sum(a, b) / (n * m)
}
// ANCHOR_END: kernel

/// The image that comes nearest to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Which one it is.
    pub number: usize,
    /// The root of the mean squared difference from it.
    pub difference: f64,
    /// The same for the one that comes second; infinite if there is only one.
    pub second: f64,
}

impl Nearest {
    /// Before any image has been looked at.
    const NONE: Self = Self::new(0, f64::INFINITY);

    /// The only image so far.
    const fn new(number: usize, difference: f64) -> Self {
        Self { number, difference, second: f64::INFINITY }
    }

    /// The nearest image in two sets, where `other` comes from the later one.
    pub fn or(self, other: Self) -> Self {
        let (near, far) = if other.difference < self.difference {
            (other, self)
        } else {
            (self, other)
        };
        Self { second: near.second.min(far.difference), ..near }
    }

    /// How far away the nearest is, compared with the second: near 0 for a copy, near 1 where
    /// neither stands out.
    pub fn ratio(&self) -> f64 {
        if self.second > 0.0 {
            self.difference / self.second
        } else {
            1.0
        }
    }
}

/// How many images on each side are compared at a time: their products take 256 KB.
const TOGETHER: usize = 256;

// ANCHOR: nearest
/// For each image, the nearest of `others`, and the difference from the second nearest.
///
/// # Panics
/// If there are no others, or images differ in size.
pub fn nearest(images: &[Vec<f32>], others: &[Vec<f32>]) -> Vec<Nearest> {
    assert!(!others.is_empty(), "there must be others");
    let search = |images: &[Vec<f32>]| {
        let mut found = vec![Nearest::NONE; images.len()];
        for (block, first) in others.chunks(TOGETHER).zip((0..).step_by(TOGETHER)) {
            let limits = lower_limits(images, block);
            for (j, other) in block.iter().enumerate() {
                for (i, image) in images.iter().enumerate() {
                    if limits[(i, j)] < found[i].second {
                        let difference = difference(image, other);
                        found[i] = found[i].or(Nearest::new(first + j, difference));
                    }
                }
            }
        }
        found
    };
    images.par_chunks(TOGETHER).flat_map_iter(search).collect()
}
// ANCHOR_END: nearest

// ANCHOR: least
/// A lower limit on the difference within each pair. |a - b|² = |a|² + |b|² - 2 a·b,
/// and a single product of matrices gives the a·b of all pairs. The result may be off
/// by the rounding error of much larger numbers, so this error is subtracted.
fn lower_limits(images: &[Vec<f32>], others: &[Vec<f32>]) -> DMatrix<f64> {
    let width = images[0].len();
    let a = DMatrix::from_fn(images.len(), width, |i, k| images[i][k]);
    let b = DMatrix::from_fn(width, others.len(), |k, j| others[j][k]);
    let square = |image: &Vec<f32>| image.iter().map(|v| v * v).sum::<f32>();
    let squares_a: Vec<f32> = images.iter().map(square).collect();
    let squares_b: Vec<f32> = others.iter().map(square).collect();
    let rounding = width as f32 * f32::EPSILON;
    (a * b).map_with_location(|i, j, product| {
        let sum = squares_a[i] + squares_b[j];
        let least = sum - 2.0 * product - rounding * sum;
        (least.max(0.0) as f64 / width as f64).sqrt()
    })
}
// ANCHOR_END: least

/// The root of the mean squared difference.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "images must have the same size");
    let squares: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    (squares as f64 / a.len() as f64).sqrt()
}
