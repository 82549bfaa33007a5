//! How dependent two descriptions of the same photos are, linearly or not.

use rayon::prelude::*;

use crate::error::{at_least, fits};
use crate::{Error, Rows};

/// Most rows: two matrices of n² numbers are held.
const MOST: usize = 4000;
/// σ² where the median distance is zero.
const SMALLEST_VARIANCE: f64 = 1e-10;

/// The unbiased estimate of the Hilbert–Schmidt independence criterion with Gaussian kernels
/// exp(−d²/2σ²), σ² the median of the squared distances between different rows (the lower of two
/// middle ones). About 0 for independent descriptions, also below; of dependent ones a small number, hardly
/// above 0.1.
///
/// With K̃, L̃ the kernels with zero diagonals: [tr(K̃L̃) + ΣK̃·ΣL̃/((n−1)(n−2)) − 2/(n−2)·1ᵀK̃L̃1] /
/// (n(n−3)) (Song, Smola, Gretton, Bedo and Borgwardt 2012, eq. 5). Values of different features
/// compare only with their number of rows and bandwidths in mind; [`cka`] is on a fixed scale.
///
/// # Shapes
/// `x` [n, d], `y` [n, e]: row k of both is the same photo; n from 4 to 4000.
///
/// # Errors
/// Tables of different or of too few or too many rows.
pub fn hsic(x: Rows<'_>, y: Rows<'_>) -> Result<f64, Error> {
    let (k, l) = kernels(x, y)?;
    Ok(estimate(&k, &l, x.len()))
}

/// HSIC(x, y)/√(HSIC(x, x) HSIC(y, y)) of the unbiased estimates: about 0 for independent
/// descriptions, 1 for equal ones (centred kernel alignment: Kornblith et al. 2019; unbiased:
/// Nguyen et al. 2021). None where a description hardly varies.
///
/// # Shapes
/// As [`hsic`].
///
/// # Errors
/// As [`hsic`].
pub fn cka(x: Rows<'_>, y: Rows<'_>) -> Result<Option<f64>, Error> {
    let n = x.len();
    let (k, l) = kernels(x, y)?;
    let (own_x, own_y) = (estimate(&k, &k, n), estimate(&l, &l, n));
    let varies = own_x > 1e-12 && own_y > 1e-12;
    Ok(varies.then(|| estimate(&k, &l, n) / (own_x * own_y).sqrt()))
}

fn kernels(x: Rows<'_>, y: Rows<'_>) -> Result<(Vec<f64>, Vec<f64>), Error> {
    at_least("rows", x.len(), 4)?;
    fits("rows of the second table", y.len(), x.len())?;
    if x.len() > MOST {
        let (what, value) = ("the number of rows", x.len().to_string());
        return Err(Error::Range { what, value, range: "4000 at most: take some of them" });
    }
    Ok((kernel(x), kernel(y)))
}

/// [n, n] with a zero diagonal.
fn kernel(rows: Rows<'_>) -> Vec<f64> {
    let n = rows.len();
    let mut matrix = vec![0.0f64; n * n];
    matrix.par_chunks_mut(n).enumerate().for_each(|(i, line)| {
        for (j, distance) in line.iter_mut().enumerate() {
            *distance = squared_distance(rows.row(i), rows.row(j));
        }
    });
    let above = |i: usize| matrix[i * n + i + 1..(i + 1) * n].iter().copied();
    let mut distances: Vec<f64> = (0..n).flat_map(above).collect();
    // All distances occur twice in the matrix: the lower median is this one.
    let middle = (distances.len() - 1) / 2;
    let (_, median, _) = distances.select_nth_unstable_by(middle, f64::total_cmp);
    let variance = if *median > 0.0 { *median } else { SMALLEST_VARIANCE };
    matrix.par_chunks_mut(n).enumerate().for_each(|(i, line)| {
        line.iter_mut().for_each(|d| *d = libm::exp(-*d / (2.0 * variance)));
        line[i] = 0.0;
    });
    matrix
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 4;
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let square = |x: f32, y: f32| (f64::from(x) - f64::from(y)).powi(2);
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(&x, &y)| square(x, y)).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += square(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn estimate(k: &[f64], l: &[f64], n: usize) -> f64 {
    let sums =
        |matrix: &[f64]| matrix.chunks_exact(n).map(|r| r.iter().sum()).collect::<Vec<f64>>();
    let (of_k, of_l) = (sums(k), sums(l));
    let trace: f64 = k.iter().zip(l).map(|(k, l)| k * l).sum();
    let cross: f64 = of_k.iter().zip(&of_l).map(|(k, l)| k * l).sum();
    let (all_k, all_l) = (of_k.iter().sum::<f64>(), of_l.iter().sum::<f64>());
    let n = n as f64;
    let total = trace + all_k * all_l / ((n - 1.0) * (n - 2.0)) - 2.0 / (n - 2.0) * cross;
    total / (n * (n - 3.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20Rng;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    fn normals(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
    }

    /// Against the U-statistic over all quadruples of different rows that defines it:
    /// E[k₁₂ l₁₂] + E[k₁₂ l₃₄] − 2 E[k₁₂ l₁₃].
    #[test]
    fn equals_the_mean_over_quadruples() {
        let (n, x, y) = (7, normals(14, 1), normals(21, 2));
        let (x, y) = (Rows::new(&x, 2).unwrap(), Rows::new(&y, 3).unwrap());
        let (k, l) = kernels(x, y).unwrap();
        let (mut sum, mut count) = (0.0, 0.0);
        for a in 0..n {
            for b in (0..n).filter(|&b| b != a) {
                for c in (0..n).filter(|&c| c != a && c != b) {
                    for d in (0..n).filter(|&d| d != a && d != b && d != c) {
                        let (kab, l) = (k[a * n + b], |i: usize, j: usize| l[i * n + j]);
                        sum += kab * (l(a, b) + l(c, d) - 2.0 * l(a, c));
                        count += 1.0;
                    }
                }
            }
        }
        assert!((hsic(x, y).unwrap() - sum / count).abs() < 1e-12);
        assert_eq!(hsic(x, y).unwrap(), hsic(y, x).unwrap());
        assert!((cka(x, x).unwrap().unwrap() - 1.0).abs() < 1e-12);
    }

    /// 60 pairs of independent tables of 40 rows: the estimate's mean lies within 5 standard
    /// errors of 0 (false alarm 1e-6). The biased estimate's would be about 0.01, 40 off.
    #[test]
    fn independent_tables_give_zero_on_average() {
        let found: Vec<f64> = (0..60)
            .map(|seed| {
                let (x, y) = (normals(120, 2 * seed), normals(80, 2 * seed + 1));
                hsic(Rows::new(&x, 3).unwrap(), Rows::new(&y, 2).unwrap()).unwrap()
            })
            .collect();
        let mean = found.iter().sum::<f64>() / 60.0;
        let variance = found.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 59.0;
        assert!(mean.abs() < 5.0 * (variance / 60.0).sqrt(), "{mean}");
    }

    #[test]
    fn dependence_without_correlation_is_seen() {
        let x = normals(200, 5);
        let squared: Vec<f32> = x.iter().map(|x| x * x).collect();
        let (x, y) = (Rows::new(&x, 1).unwrap(), Rows::new(&squared, 1).unwrap());
        assert!(hsic(x, y).unwrap() > 0.01);
        assert!(cka(x, y).unwrap().unwrap() > 0.2);
    }

    #[test]
    fn unfit_tables_are_refused_and_constants_are_independent() {
        let data = [1.0f32; 12];
        let rows = |width| Rows::new(&data, width).unwrap();
        assert!(hsic(rows(4), rows(4)).unwrap_err().to_string().starts_with("3 rows are too few"));
        assert!(hsic(rows(2), rows(1)).unwrap_err().to_string().contains("there must be 6"));
        let many = vec![0.0f32; MOST + 1];
        let many = Rows::new(&many, 1).unwrap();
        assert!(hsic(many, many).unwrap_err().to_string().contains("4000 at most"));
        assert!(hsic(rows(2), rows(2)).unwrap().abs() < 1e-12);
        assert_eq!(cka(rows(2), rows(2)).unwrap(), None);
    }
}
