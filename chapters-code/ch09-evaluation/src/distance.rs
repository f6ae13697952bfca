//! How far two sets of images are apart, and whether one copies the other.

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

/// The Fréchet distance between the Gaussians of the same mean and covariance as two
/// sets of features (Heusel et al. 2017, eq. 6): |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁
/// C₂)^½). 0 for equal sets; it shrinks with the size of the sets, so compare only
/// distances of sets of one size.
///
/// # Panics
/// If a set holds fewer than two rows, or rows differ in length.
pub fn frechet_distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    assert!(a.len() > 1 && b.len() > 1, "a covariance needs two rows");
    let ((mean_a, cov_a), (mean_b, cov_b)) = (moments(a), moments(b));
    // C₁ C₂ has the eigenvalues of the symmetric √C₁ C₂ √C₁, which do not suffer from
    // rounding.
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
/// The kernel distance (Bińkowski et al. 2018, section 4): the squared maximum mean
/// discrepancy under the kernel (x·y / width + 1)³, estimated without bias; it does not
/// depend on the size of the sets, and can be just below 0.
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
    /// The root of the mean squared difference to it.
    pub difference: f64,
    /// The same for the one that comes second; infinite if there is only one.
    pub second: f64,
}

impl Nearest {
    /// The nearest of two sets, where `other` comes from the later one.
    pub fn or(self, other: Self) -> Self {
        let (near, far) = if other.difference < self.difference {
            (other, self)
        } else {
            (self, other)
        };
        Self { second: near.second.min(far.difference), ..near }
    }

    /// How much nearer the nearest is than the second: near 0 for a copy, near 1 where
    /// neither stands out.
    pub fn ratio(&self) -> f64 {
        if self.second > 0.0 {
            self.difference / self.second
        } else {
            1.0
        }
    }
}

// ANCHOR: nearest
/// For each image the nearest of `others`.
///
/// # Panics
/// If there are no others.
pub fn nearest(images: &[Vec<f32>], others: &[Vec<f32>]) -> Vec<Nearest> {
    assert!(!others.is_empty(), "there must be others");
    let nearest_to = |image: &Vec<f32>| {
        let (mut number, mut best, mut second) = (0, f32::INFINITY, f32::INFINITY);
        for (i, other) in others.iter().enumerate() {
            match squares_below(image, other, second) {
                Some(squares) if squares < best => {
                    (number, best, second) = (i, squares, best);
                }
                Some(squares) => second = squares,
                None => {}
            }
        }
        let root = |squares: f32| (squares as f64 / image.len() as f64).sqrt();
        Nearest { number, difference: root(best), second: root(second) }
    };
    images.par_iter().map(nearest_to).collect()
}
// ANCHOR_END: nearest

/// The sum of the squared differences, unless it reaches `limit`: most images need only
/// a look at their first pixels.
fn squares_below(a: &[f32], b: &[f32], limit: f32) -> Option<f32> {
    let mut sum = 0.0;
    for (a, b) in a.chunks(48).zip(b.chunks(48)) {
        sum += a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        if sum >= limit {
            return None;
        }
    }
    Some(sum)
}
