//! Statistical independence: the Hilbert–Schmidt independence criterion with
//! Gaussian kernels, in closed form (method.md §4, §8).
//!
//! With K, L the kernel matrices over n rows, r their row sums and S their
//! totals, both estimators are
//!
//! ```text
//! V = a (Σ K∘L − 2b rᴷ·rᴸ + c Sᴷ Sᴸ)
//! biased    a = 1/(n−1)²      b = 1/n      c = 1/n²              (= Σ HKH∘HLH / (n−1)²)
//! unbiased  a = 1/(n(n−3))    b = 1/(n−2)  c = 1/((n−1)(n−2))    (zero diagonals)
//! ```
//!
//! so ∂V/∂K_ij = a (L_ij − b (rᴸ_i + rᴸ_j) + c Sᴸ). Value and gradients are
//! computed tile by tile of rows and no n×n matrix is kept; the gradient is
//! handed to autograd by a surrogate term.
use encoder::Fidelity;
use tch::{Device, Kind, Tensor};

/// Rows (of the distance matrix, for the bandwidth) that are looked at.
const BANDWIDTH_ROWS: i64 = 128;
/// Elements of a tile: 8 MB of float32.
const TILE: i64 = 1 << 21;

/// Which estimator and which bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// Biased; σ² = median(d²)/2 of the first 128×128 block, with its gradient.
    Published,
    /// Unbiased (Song et al. 2012); σ² = median of the off-diagonal d² of a
    /// fixed random subset of rows, without gradient.
    Unbiased,
}

impl From<Fidelity> for Estimator {
    fn from(fidelity: Fidelity) -> Self {
        match fidelity {
            Fidelity::Published => Estimator::Published,
            Fidelity::Corrected => Estimator::Unbiased,
        }
    }
}

/// HSIC of each image's identity and perception, times ln C: rows are the
/// H·W positions, columns the C channels.
///
/// # Shapes
/// `z`, `p` [B, C, H, W] → `[B]`. H·W must be at least 4.
pub fn hsic_loss(z: &Tensor, p: &Tensor, estimator: Estimator) -> Tensor {
    let weight = (z.size()[1] as f64).ln();
    let rows = |t: &Tensor| t.flatten(2, -1).transpose(1, 2);
    let (z, p) = (rows(z), rows(p));
    let values: Vec<Tensor> =
        (0..z.size()[0]).map(|i| hsic(&z.get(i), &p.get(i), estimator)).collect();
    Tensor::stack(&values, 0) * weight
}

/// HSIC of two sets of n paired rows.
///
/// # Shapes
/// `x` [n, C], `y` [n, D] → 0-dim, differentiable in both.
pub fn hsic(x: &Tensor, y: &Tensor, estimator: Estimator) -> Tensor {
    let (value, grad_x, grad_y) = tch::no_grad(|| closed_form(x, y, estimator));
    // Its value is `value`, its gradients are the ones computed.
    let surrogate = (x * grad_x).sum(x.kind()) + (y * grad_y).sum(y.kind());
    &surrogate - surrogate.detach() + value
}

/// One side: rows, their squared lengths, 1/2σ², and the pair of rows that
/// gave the median, where its gradient counts.
struct Side {
    rows: Tensor,
    squares: Tensor,
    variance: f64,
    median_pair: Option<(i64, i64)>,
}

impl Side {
    fn new(x: &Tensor, estimator: Estimator) -> Self {
        // Distances do not see a shift; without it less is lost to rounding.
        let rows = x - x.mean_dim(&[0i64][..], true, None);
        let squares = rows.square().sum_dim_intlist(&[1i64][..], false, None);
        let mut side = Side { rows, squares, variance: 1.0, median_pair: None };
        let n = x.size()[0];
        let m = n.min(BANDWIDTH_ROWS);
        match estimator {
            Estimator::Published => {
                let block = side.distances(0, m).narrow(1, 0, m).flatten(0, -1);
                let (median, index) = block.median_dim(0, false);
                let median = median.double_value(&[]);
                side.variance = median / 2.0;
                if median > 0.0 {
                    let index = index.int64_value(&[]);
                    side.median_pair = Some((index / m, index % m));
                } else {
                    side.variance = 1e-10; // σ = 1e-5
                }
            }
            Estimator::Unbiased => {
                let chosen = subset(n, m).to_device(x.device());
                let some = Side {
                    rows: side.rows.index_select(0, &chosen),
                    squares: side.squares.index_select(0, &chosen),
                    variance: 1.0,
                    median_pair: None,
                };
                let pairs = Tensor::triu_indices(m, m, 1, (Kind::Int64, x.device()));
                let flat = (pairs.get(0) * m) + pairs.get(1);
                let above = some.distances(0, m).flatten(0, -1).index_select(0, &flat);
                side.variance = above.median().double_value(&[]).max(1e-10);
            }
        }
        side
    }

    /// Squared distances of the rows `start..start+len` to all rows.
    fn distances(&self, start: i64, len: i64) -> Tensor {
        let rows = self.rows.narrow(0, start, len);
        let base = self.squares.narrow(0, start, len).unsqueeze(1) + self.squares.unsqueeze(0);
        let d = base.addmm(&(rows * -2.0), &self.rows.tr()).clamp_min_(0.0);
        // A row's distance to itself is zero, not its rounding error.
        let _ = d.narrow(1, start, len).diagonal(0, 0, 1).zero_();
        d
    }

    fn kernel(&self, distances: &Tensor, start: i64, estimator: Estimator) -> Tensor {
        let k = (distances * (-0.5 / self.variance)).exp_();
        if estimator == Estimator::Unbiased {
            let len = distances.size()[0];
            let _ = k.narrow(1, start, len).diagonal(0, 0, 1).zero_();
        }
        k
    }
}

/// The same `m` of `n` rows every time, in random order.
fn subset(n: i64, m: i64) -> Tensor {
    if m == n {
        return Tensor::arange(n, (Kind::Int64, Device::Cpu));
    }
    // Their hashes order the rows: a bijection of i, so that no two are equal.
    let mut order: Vec<i64> = (0..n).collect();
    order.sort_by_key(|&i| train::mix(0x4853_4943, i as u64));
    Tensor::from_slice(&order[..m as usize])
}

/// What one pass over the tiles has to know of a kernel matrix.
struct Sums {
    rows: Tensor,
    total: f64,
}

fn closed_form(x: &Tensor, y: &Tensor, estimator: Estimator) -> (Tensor, Tensor, Tensor) {
    let n = x.size()[0];
    let nf = n as f64;
    let (a, b, c) = match estimator {
        Estimator::Published => (1.0 / (nf - 1.0).powi(2), 1.0 / nf, 1.0 / (nf * nf)),
        Estimator::Unbiased => {
            (1.0 / (nf * (nf - 3.0)), 1.0 / (nf - 2.0), 1.0 / ((nf - 1.0) * (nf - 2.0)))
        }
    };
    let sides = [Side::new(x, estimator), Side::new(y, estimator)];
    let len = (TILE / n).clamp(1, n);
    let tiles: Vec<(i64, i64)> =
        (0..n).step_by(len as usize).map(|s| (s, len.min(n - s))).collect();

    let mut row_sums = [Vec::new(), Vec::new()];
    let mut product = 0.0;
    let mut kept = None;
    for &(start, len) in &tiles {
        let pair = [0, 1].map(|s| {
            let d = sides[s].distances(start, len);
            let k = sides[s].kernel(&d, start, estimator);
            row_sums[s].push(k.sum_dim_intlist(&[1i64][..], false, Kind::Double));
            (d, k)
        });
        product += (&pair[0].1 * &pair[1].1).sum(Kind::Double).double_value(&[]);
        kept = Some(pair);
    }
    let sums = row_sums.map(|parts| {
        let rows = Tensor::cat(&parts, 0);
        Sums { total: rows.sum(Kind::Double).double_value(&[]), rows }
    });
    let rows_product = sums[0].rows.dot(&sums[1].rows).double_value(&[]);
    let value = a * (product - 2.0 * b * rows_product + c * sums[0].total * sums[1].total);

    // ∂V/∂d_ij = −K_ij G_ij / 2σ² = W_ij; ∂V/∂x_i = 4 (Σ_j W_ij x_i − Σ_j W_ij x_j).
    let gradients = [x.zeros_like(), y.zeros_like()];
    let mut by_variance = [0.0; 2];
    for &(start, len) in &tiles {
        // One tile is all there is: its matrices are still at hand.
        let pair = match kept.take() {
            Some(pair) if tiles.len() == 1 => pair,
            _ => [0, 1].map(|s| {
                let d = sides[s].distances(start, len);
                let k = sides[s].kernel(&d, start, estimator);
                (d, k)
            }),
        };
        for s in 0..2 {
            let (other, sums) = (&pair[1 - s].1, &sums[1 - s]);
            let r = (&sums.rows * b).to_kind(x.kind());
            let g =
                (other - (r.narrow(0, start, len) - c * sums.total).unsqueeze(1) - r.unsqueeze(0))
                    * a;
            let w = g * &pair[s].1 * (-0.5 / sides[s].variance);
            if sides[s].median_pair.is_some() {
                // ∂V/∂σ² = Σ G K d / 2σ⁴ = −Σ W d / σ².
                let sum = (&w * &pair[s].0).sum(Kind::Double).double_value(&[]);
                by_variance[s] -= sum / sides[s].variance;
            }
            let rows = sides[s].rows.narrow(0, start, len);
            let tile = (w.sum_dim_intlist(&[1i64][..], true, None) * rows
                - w.matmul(&sides[s].rows))
                * 4.0;
            gradients[s].narrow(0, start, len).copy_(&tile);
        }
    }
    for s in 0..2 {
        if let Some((p, q)) = sides[s].median_pair {
            // σ² = d_pq / 2.
            let pull = (sides[s].rows.get(p) - sides[s].rows.get(q)) * by_variance[s];
            let _ = gradients[s].get(p).g_add_(&pull);
            let _ = gradients[s].get(q).g_sub_(&pull);
        }
    }
    let [grad_x, grad_y] = gradients;
    let value = Tensor::from(value).to_kind(x.kind()).to_device(x.device());
    (value, grad_x, grad_y)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, with matrices, in float64.
    fn plain(x: &Tensor, y: &Tensor, estimator: Estimator) -> Tensor {
        let n = x.size()[0];
        let distances = |t: &Tensor| {
            (t.unsqueeze(0) - t.unsqueeze(1)).square().sum_dim_intlist(&[2i64][..], false, None)
        };
        let eye = Tensor::eye(n, (Kind::Double, Device::Cpu));
        let kernel = |t: &Tensor| {
            let d = distances(t);
            let m = n.min(BANDWIDTH_ROWS);
            match estimator {
                Estimator::Published => {
                    let variance = d.narrow(0, 0, m).narrow(1, 0, m).flatten(0, -1).median() / 2.0;
                    (d / (variance * -2.0)).exp()
                }
                Estimator::Unbiased => {
                    let rows = subset(n, m);
                    let some = d.index_select(0, &rows).index_select(1, &rows).detach();
                    let off = Tensor::eye(m, (Kind::Double, Device::Cpu)).eq(0.0);
                    let variance = some.masked_select(&off).median();
                    (d / (variance * -2.0)).exp() * (1.0 - &eye)
                }
            }
        };
        let (k, l) = (kernel(x), kernel(y));
        let nf = n as f64;
        match estimator {
            Estimator::Published => {
                let h = &eye - 1.0 / nf;
                let centred = |k: &Tensor| h.matmul(k).matmul(&h);
                (centred(&k) * centred(&l)).sum(Kind::Double) / (nf - 1.0).powi(2)
            }
            Estimator::Unbiased => {
                let sum = |t: Tensor| t.sum(Kind::Double);
                let ones = Tensor::ones([n, 1], (Kind::Double, Device::Cpu));
                let trace = k.matmul(&l).trace();
                let cross = ones.tr().matmul(&k).matmul(&l).matmul(&ones).squeeze();
                (trace + sum(k) * sum(l) / ((nf - 1.0) * (nf - 2.0)) - cross * (2.0 / (nf - 2.0)))
                    / (nf * (nf - 3.0))
            }
        }
    }

    #[test]
    fn value_and_gradients_equal_the_definition_in_float64() {
        tch::manual_seed(5);
        // Odd sizes, one channel, more rows than the bandwidth looks at, several tiles.
        for (n, c, d) in [(7, 3, 3), (30, 1, 4), (131, 5, 5), (1500, 2, 2)] {
            for estimator in [Estimator::Published, Estimator::Unbiased] {
                let x = Tensor::randn([n, c], (Kind::Double, Device::Cpu)) + 3.0;
                let mix = x.narrow(1, 0, 1) * 0.7;
                let y = Tensor::randn([n, d], (Kind::Double, Device::Cpu)) + mix;
                let grads = |f: fn(&Tensor, &Tensor, Estimator) -> Tensor| {
                    let x = x.copy().set_requires_grad(true);
                    let y = y.copy().set_requires_grad(true);
                    let value = f(&x, &y, estimator);
                    value.backward();
                    (value.double_value(&[]), x.grad(), y.grad())
                };
                let (value, gx, gy) = grads(hsic);
                let (expected, ex, ey) = grads(plain);
                assert!((value - expected).abs() < 1e-12, "{n} {estimator:?}: {value} {expected}");
                for (got, want) in [(gx, ex), (gy, ey)] {
                    let error = (&got - &want).abs().max() / want.abs().max();
                    let error = error.double_value(&[]);
                    assert!(error < 1e-9, "{n} {estimator:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn constant_features_are_independent_of_everything() {
        tch::manual_seed(6);
        for estimator in [Estimator::Published, Estimator::Unbiased] {
            let x = Tensor::ones([40, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let y = Tensor::randn([40, 3], (Kind::Float, Device::Cpu));
            let value = hsic(&x, &y, estimator);
            value.backward();
            assert!(value.double_value(&[]).abs() < 1e-6);
            assert!(bool::try_from(x.grad().isfinite().all()).unwrap());
        }
    }

    /// For independent rows the unbiased estimate has mean zero. Its mean over
    /// 40 draws lies within 5 standard errors: false alarm below 1e-5 (and the
    /// seed is fixed).
    #[test]
    fn unbiased_estimate_is_centred_on_zero() {
        tch::manual_seed(7);
        let draws: Vec<f64> = (0..40)
            .map(|_| {
                let x = Tensor::randn([60, 4], (Kind::Double, Device::Cpu));
                let y = Tensor::randn([60, 4], (Kind::Double, Device::Cpu));
                hsic(&x, &y, Estimator::Unbiased).double_value(&[])
            })
            .collect();
        let mean = draws.iter().sum::<f64>() / 40.0;
        let var = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 39.0;
        assert!(mean.abs() < 5.0 * (var / 40.0).sqrt(), "{mean} {var}");
    }
}
