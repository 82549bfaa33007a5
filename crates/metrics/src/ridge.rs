//! Ridge regression on standardised features, its penalty chosen on rows held out.

use chacha20::ChaCha20Rng;
use rand::{RngExt, SeedableRng};

use crate::error::{at_least, finite, fits};
use crate::linalg::{Cholesky, add_own_products, add_products, mirror};
use crate::{Error, Rows};

/// The penalties tried, on inner products divided by the number of features.
pub const PENALTIES: [f64; 5] = [1e-3, 1e-2, 1e-1, 1.0, 10.0];
/// The share of the training rows that a penalty is tried with; it is judged on the others.
const FITTED: f64 = 0.75;
/// Added to standard deviations, so that a feature that hardly varies becomes small.
const SMALLEST_DEVIATION: f64 = 1e-6;
/// What varies less than this share of its mean is constant but for rounding, and becomes 0.
const ROUNDING: f64 = 1e-12;
/// Features that are standardised together: the rest stays in single precision.
const BLOCK: usize = 256;

/// What a ridge regression says of test rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    /// [test rows, outputs].
    pub predictions: Vec<f64>,
    /// The penalty chosen of [`PENALTIES`].
    pub penalty: f64,
}

impl Ridge {
    /// Learns `targets` from the rows of `train` and predicts them for the rows of `test`.
    ///
    /// Features are standardised by mean and standard deviation (n − 1) of the training rows; the
    /// targets' mean is subtracted. The weights minimise Σ|y − w·x|² + λ d |w|² (d features).
    /// Each λ of [`PENALTIES`] is tried on three quarters of the training rows, drawn with a fixed
    /// seed, and judged by `quality` (of predictions and targets of the other quarter; larger is
    /// better); the best, the smallest of equals, is taken with all training rows.
    ///
    /// Solved for rows where there are more features than rows (in the dual), else for features:
    /// the same predictions. Time: rows · d · min(rows, d) for the products and about
    /// min(rows, d)³/3 for each λ; memory: min(rows, d)² and d numbers.
    ///
    /// # Shapes
    /// `train` [n, d], n at least 4; `targets` [n, outputs]; `test` [m, d].
    ///
    /// # Errors
    /// Shapes that do not fit, targets that are not finite.
    pub fn fit(
        train: Rows<'_>,
        targets: &[f64],
        test: Rows<'_>,
        quality: impl Fn(&[f64], &[f64]) -> f64,
    ) -> Result<Ridge, Error> {
        let n = train.len();
        at_least("training rows", n, 4)?;
        fits("features of a test row", test.width(), train.width())?;
        at_least("targets", targets.len(), n)?;
        fits("targets", targets.len(), targets.len() / n * n)?;
        finite("target", targets)?;
        let outputs = targets.len() / n;

        let mut mean = vec![0.0; outputs];
        for row in targets.chunks_exact(outputs) {
            mean.iter_mut().zip(row).for_each(|(mean, y)| *mean += y / n as f64);
        }
        let centred: Vec<f64> =
            targets.chunks_exact(outputs).flat_map(|row| minus(row, &mean)).collect();
        let problem = Problem::new(train, test);
        let (fitted, judged) = split(n);
        let pick = |table: &[f64], rows: &[usize]| -> Vec<f64> {
            rows.iter().flat_map(|&row| &table[row * outputs..][..outputs]).copied().collect()
        };
        let (few, truth) = (pick(&centred, &fitted), pick(targets, &judged));
        let mut best: Option<(f64, f64)> = None;
        let part = problem.part(&fitted, &few, outputs);
        for penalty in PENALTIES {
            let weights = part.solve(penalty)?;
            let found = problem.predict(Some(&judged), &fitted, &weights, outputs);
            let found: Vec<f64> =
                found.chunks_exact(outputs).flat_map(|r| plus(r, &mean)).collect();
            let quality = quality(&found, &truth);
            if best.is_none_or(|(most, _)| quality > most) {
                best = Some((quality, penalty));
            }
        }
        let penalty = best.map_or(PENALTIES[0], |(_, penalty)| penalty);
        let all: Vec<usize> = (0..n).collect();
        let weights = problem.part(&all, &centred, outputs).solve(penalty)?;
        let found = problem.predict(None, &all, &weights, outputs);
        let predictions = found.chunks_exact(outputs).flat_map(|r| plus(r, &mean)).collect();
        Ok(Ridge { predictions, penalty })
    }
}

fn minus<'a>(a: &'a [f64], b: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    a.iter().zip(b).map(|(a, b)| a - b)
}

fn plus<'a>(a: &'a [f64], b: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    a.iter().zip(b).map(|(a, b)| a + b)
}

/// Rows to fit and rows to judge, in a fixed random order.
fn split(n: usize) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..n).collect();
    let mut rng = ChaCha20Rng::seed_from_u64(0);
    for k in (1..n).rev() {
        order.swap(k, rng.random_range(0..=k));
    }
    let judged = order.split_off((FITTED * n as f64) as usize);
    (order, judged)
}

/// The standardised features, as one of two problems with the same solution.
enum Problem {
    /// Inner products over features / d: of training rows [n, n], of test with training rows.
    Dual { kernel: Vec<f64>, test: Vec<f64>, n: usize },
    /// The features themselves / √d: of training rows [n, d], of test rows [m, d].
    Primal { train: Vec<f64>, test: Vec<f64>, d: usize },
}

impl Problem {
    fn new(train: Rows<'_>, test: Rows<'_>) -> Problem {
        let (n, m, d) = (train.len(), test.len(), train.width());
        let scales = scales(train);
        let standard = |rows: Rows<'_>, from: usize, to: usize| -> Vec<f64> {
            let root = (d as f64).sqrt();
            let of_row = |k: usize| {
                let scales = &scales[from..to];
                let numbers = rows.row(k)[from..to].iter().zip(scales);
                numbers
                    .map(move |(&x, &(mean, deviation))| (f64::from(x) - mean) / deviation / root)
            };
            (0..rows.len()).flat_map(of_row).collect()
        };
        if d <= n {
            return Problem::Primal { train: standard(train, 0, d), test: standard(test, 0, d), d };
        }
        let (mut kernel, mut of_test) = (vec![0.0; n * n], vec![0.0; m * n]);
        for from in (0..d).step_by(BLOCK) {
            let to = (from + BLOCK).min(d);
            let block = standard(train, from, to);
            add_own_products(&mut kernel, &block, to - from);
            add_products(&mut of_test, &standard(test, from, to), &block, to - from);
        }
        mirror(&mut kernel, n);
        Problem::Dual { kernel, test: of_test, n }
    }

    /// The normal equations of some training rows, whose targets are `targets`.
    fn part(&self, rows: &[usize], targets: &[f64], outputs: usize) -> Part {
        match self {
            Problem::Dual { kernel, n, .. } => {
                let of_row = |&i: &usize| rows.iter().map(move |&j| kernel[i * n + j]);
                let matrix = rows.iter().flat_map(of_row).collect();
                Part { matrix, n: rows.len(), right: targets.to_vec(), outputs }
            }
            Problem::Primal { train, d, .. } => {
                let turned = |table: &[f64], width: usize| -> Vec<f64> {
                    let column = |k: usize| table.iter().skip(k).step_by(width).copied();
                    (0..width).flat_map(column).collect()
                };
                let some: Vec<f64> =
                    rows.iter().flat_map(|&row| &train[row * d..][..*d]).copied().collect();
                let (features, targets) = (turned(&some, *d), turned(targets, outputs));
                let (mut matrix, mut right) = (vec![0.0; d * d], vec![0.0; d * outputs]);
                add_own_products(&mut matrix, &features, rows.len());
                add_products(&mut right, &features, &targets, rows.len());
                Part { matrix, n: *d, right, outputs }
            }
        }
    }

    /// For training rows, or for the test rows, from the solution for the rows `fitted`.
    fn predict(
        &self,
        of_training: Option<&[usize]>,
        fitted: &[usize],
        weights: &[f64],
        outputs: usize,
    ) -> Vec<f64> {
        let (table, width) = match (self, of_training) {
            (Problem::Dual { kernel, n, .. }, Some(_)) => (kernel, *n),
            (Problem::Dual { test, n, .. }, None) => (test, *n),
            (Problem::Primal { train, d, .. }, Some(_)) => (train, *d),
            (Problem::Primal { test, d, .. }, None) => (test, *d),
        };
        let every: Vec<usize> = (0..table.len() / width).collect();
        let features: Vec<usize> = match self {
            Problem::Dual { .. } => fitted.to_vec(),
            Problem::Primal { d, .. } => (0..*d).collect(),
        };
        let mut found = Vec::with_capacity(every.len() * outputs);
        for &row in of_training.unwrap_or(&every) {
            let mut sums = vec![0.0; outputs];
            for (&feature, weights) in features.iter().zip(weights.chunks_exact(outputs)) {
                let x = table[row * width + feature];
                sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
            }
            found.extend(sums);
        }
        found
    }
}

/// Normal equations: (`matrix` + λ) weights = `right`.
struct Part {
    matrix: Vec<f64>,
    n: usize,
    right: Vec<f64>,
    outputs: usize,
}

impl Part {
    fn solve(&self, penalty: f64) -> Result<Vec<f64>, Error> {
        let mut weights = self.right.clone();
        Cholesky::new(&self.matrix, self.n, penalty)?.solve(&mut weights, self.outputs);
        Ok(weights)
    }
}

/// Mean and standard deviation of each feature.
fn scales(rows: Rows<'_>) -> Vec<(f64, f64)> {
    let n = rows.len() as f64;
    let mut means = vec![0.0; rows.width()];
    for k in 0..rows.len() {
        means.iter_mut().zip(rows.row(k)).for_each(|(mean, &x)| *mean += f64::from(x) / n);
    }
    let mut squares = vec![0.0; rows.width()];
    for k in 0..rows.len() {
        let numbers = squares.iter_mut().zip(rows.row(k)).zip(&means);
        numbers.for_each(|((sum, &x), mean)| *sum += (f64::from(x) - mean).powi(2));
    }
    let scale = |(mean, sum): (f64, f64)| {
        let deviation = (sum / (n - 1.0)).sqrt();
        let constant = deviation <= ROUNDING * mean.abs();
        (mean, if constant { f64::INFINITY } else { deviation + SMALLEST_DEVIATION })
    };
    means.into_iter().zip(squares).map(scale).collect()
}

#[cfg(test)]
#[path = "ridge_tests.rs"]
mod tests;
