//! The little linear algebra that probes need: inner products of rows, and Cholesky's solver.

use rayon::prelude::*;

use crate::Error;

/// Columns of L that are found together: their rows fit a core's cache.
const BLOCK: usize = 64;
/// Partial sums of an inner product, for vector registers.
const LANES: usize = 4;

/// Adds to `out` [A, B] the inner products of A rows of `a` with B rows of `b`, all `width` long.
pub(crate) fn add_products(out: &mut [f64], a: &[f64], b: &[f64], width: usize) {
    let columns = b.len() / width;
    let rows = out.par_chunks_mut(columns).zip(a.par_chunks(width));
    rows.for_each(|(out, a)| add_row(out, a, b));
}

/// The same for the rows of one table, [A, A]: only the lower triangle, the diagonal included.
pub(crate) fn add_own_products(out: &mut [f64], a: &[f64], width: usize) {
    let n = a.len() / width;
    out.par_chunks_mut(n).enumerate().for_each(|(i, out)| {
        add_row(&mut out[..=i], &a[i * width..][..width], &a[..(i + 1) * width]);
    });
}

/// Copies the lower triangle of `matrix` [n, n] to the upper one.
pub(crate) fn mirror(matrix: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..i {
            matrix[j * n + i] = matrix[i * n + j];
        }
    }
}

fn add_row(out: &mut [f64], a: &[f64], b: &[f64]) {
    let width = a.len();
    for (out, b) in out.chunks_mut(4).zip(b.chunks(4 * width)) {
        if b.len() == 4 * width {
            let found = four_products(a, b);
            out.iter_mut().zip(found).for_each(|(out, x)| *out += x);
        } else {
            let found = b.chunks_exact(width).map(|b| product(a, b));
            out.iter_mut().zip(found).for_each(|(out, x)| *out += x);
        }
    }
}

/// Of `a` with four rows at once, each in the same order as [`product`].
fn four_products(a: &[f64], b: &[f64]) -> [f64; 4] {
    let width = a.len();
    let mut sums = [[0.0f64; LANES]; 4];
    let whole = width / LANES * LANES;
    let rows: [&[f64]; 4] = std::array::from_fn(|row| &b[row * width..][..whole]);
    for (k, a) in a[..whole].chunks_exact(LANES).enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            let b = &row[k * LANES..][..LANES];
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
    }
    std::array::from_fn(|row| {
        let rest = a[whole..].iter().zip(&b[row * width + whole..]).map(|(a, b)| a * b);
        sums[row].iter().sum::<f64>() + rest.sum::<f64>()
    })
}

/// Inner product, always in the same order.
fn product(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum::<f64>();
    let mut sums = [0.0f64; LANES];
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// A symmetric positive definite matrix as L Lᵀ, ready to solve.
pub(crate) struct Cholesky {
    /// [n, n], lower triangle; what lies above it is left over.
    lower: Vec<f64>,
    n: usize,
}

impl Cholesky {
    /// Of `matrix` [n, n] (its lower triangle is read) plus `ridge` on the diagonal. n³/3
    /// multiplications, on all cores.
    ///
    /// # Errors
    /// A matrix that is not positive definite, up to rounding: the ridge is too small.
    pub(crate) fn new(matrix: &[f64], n: usize, ridge: f64) -> Result<Cholesky, Error> {
        let mut lower = matrix[..n * n].to_vec();
        for k in 0..n {
            lower[k * n + k] += ridge;
        }
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            let (above, below) = lower.split_at_mut(end * n);
            // The block's own rows: subtract what the columns before contribute, then solve.
            for i in start..end {
                for j in start..=i {
                    let (before, row) = above.split_at_mut(i * n);
                    let other = if j < i { &before[j * n..][..j] } else { &row[..j] };
                    let rest = row[j] - product(&row[..j], other);
                    row[j] = if j < i {
                        rest / before[j * n + j]
                    } else if rest > 0.0 && rest.is_finite() {
                        rest.sqrt()
                    } else {
                        return Err(Error::Range {
                            what: "the ridge penalty",
                            value: ridge.to_string(),
                            range: "large enough to make the features' matrix positive definite",
                        });
                    };
                }
            }
            // All rows below, each on its own.
            let block = &above[start * n..];
            below.par_chunks_mut(n).for_each(|row| {
                for j in start..end {
                    let other = &block[(j - start) * n..][..=j];
                    row[j] = (row[j] - product(&row[..j], &other[..j])) / other[j];
                }
            });
        }
        Ok(Cholesky { lower, n })
    }

    /// Solves for `right` [n, columns], in place.
    pub(crate) fn solve(&self, right: &mut [f64], columns: usize) {
        for i in 0..self.n {
            let (before, here) = right.split_at_mut(i * columns);
            let here = &mut here[..columns];
            for (row, &factor) in before.chunks_exact(columns).zip(self.row(i)) {
                here.iter_mut().zip(row).for_each(|(x, y)| *x -= factor * y);
            }
            here.iter_mut().for_each(|x| *x /= self.row(i)[i]);
        }
        for i in (0..self.n).rev() {
            let (before, here) = right.split_at_mut(i * columns);
            let here = &mut here[..columns];
            here.iter_mut().for_each(|x| *x /= self.row(i)[i]);
            for (row, &factor) in before.chunks_exact_mut(columns).zip(self.row(i)) {
                row.iter_mut().zip(here.iter()).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }

    /// Row i of L, to the diagonal.
    fn row(&self, i: usize) -> &[f64] {
        &self.lower[i * self.n..][..=i]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20Rng;
    use rand::{RngExt, SeedableRng};

    fn random(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn products_of_all_rows() {
        for (rows, columns, width) in [(3, 9, 7), (1, 4, 4), (5, 3, 1), (2, 6, 130)] {
            let (a, b) = (random(rows * width, 1), random(columns * width, 2));
            let mut out = vec![1.0; rows * columns];
            add_products(&mut out, &a, &b, width);
            for i in 0..rows {
                for j in 0..columns {
                    let sum: f64 = (0..width).map(|k| a[i * width + k] * b[j * width + k]).sum();
                    assert!((out[i * columns + j] - 1.0 - sum).abs() < 1e-12);
                }
            }
            let (mut own, mut all) = (vec![0.0; rows * rows], vec![0.0; rows * rows]);
            add_own_products(&mut own, &a, width);
            mirror(&mut own, rows);
            add_products(&mut all, &a, &a, width);
            assert_eq!(own, all);
        }
    }

    /// Below, at and above the block's size; the residual of A x = b.
    #[test]
    fn solutions_solve() {
        for n in [1, 2, 5, 63, 64, 65, 130, 200] {
            let rows = random(n * (n + 3), 3);
            let mut matrix = vec![0.0; n * n];
            add_products(&mut matrix, &rows, &rows, n + 3);
            let right = random(n * 3, 4);
            let mut found = right.clone();
            Cholesky::new(&matrix, n, 0.5).unwrap().solve(&mut found, 3);
            for i in 0..n {
                for c in 0..3 {
                    let sum: f64 = (0..n).map(|k| matrix[i * n + k] * found[k * 3 + c]).sum();
                    let residual = sum + 0.5 * found[i * 3 + c] - right[i * 3 + c];
                    assert!(residual.abs() < 1e-9, "n = {n}: {residual}");
                }
            }
        }
    }

    #[test]
    fn a_known_factor() {
        // Of the matrix 4 2 / 2 10: L is 2 / 1 3.
        let factor = Cholesky::new(&[4.0, f64::NAN, 2.0, 10.0], 2, 0.0).unwrap();
        assert_eq!((factor.row(0), factor.row(1)), ([2.0].as_slice(), [1.0, 3.0].as_slice()));
        let error = Cholesky::new(&[1.0, 2.0, 2.0, 1.0], 2, 0.0).err().unwrap();
        assert!(error.to_string().starts_with("the ridge penalty is 0"));
    }
}
