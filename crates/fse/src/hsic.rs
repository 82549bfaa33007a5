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
//! so ∂V/∂K_ij = a (L_ij − u_i − u_j) with u = b rᴸ − c Sᴸ/2. Both passes (sums, then
//! gradients) go over the tiles on and above the diagonal only, since kernels are symmetric,
//! and no n×n matrix is kept; the gradient is handed to autograd by a surrogate term.
//! Nothing is read on the host, so a device is never waited for.
use c10d::torch::Autocast;
use encoder::Fidelity;
use tch::{Device, Kind, Tensor};

/// Rows (of the distance matrix, for the bandwidth) that are looked at.
const BANDWIDTH_ROWS: i64 = 128;
/// Side of a tile on a CPU: 1 MB of float32, so that a core's cache holds what it works on.
const TILE: i64 = 512;
/// Side of a tile on other devices, which want large operations: 64 MB.
const DEVICE_TILE: i64 = 4096;
/// σ where the median distance is zero.
const SMALLEST_VARIANCE: f64 = 1e-10;

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
/// Beside the gradients it takes memory for a few tiles of at most 512 rows (4096 on a GPU).
///
/// # Shapes
/// `x` [n, C], `y` [n, D] → 0-dim, differentiable in both.
pub fn hsic(x: &Tensor, y: &Tensor, estimator: Estimator) -> Tensor {
    // Differences of near-equal numbers: not for bfloat16.
    let _full = Autocast::new(x.device(), false);
    // What is computed from them has a graph only where one is being recorded.
    let recorded = x.alias_copy().requires_grad() || y.alias_copy().requires_grad();
    let pair = tch::no_grad(|| Pair::new(x, y, estimator));
    if !recorded {
        return pair.value;
    }
    let [grad_x, grad_y] = tch::no_grad(|| pair.gradients());
    // Its value is `value`, its gradients are the ones computed.
    let surrogate = (x * grad_x).sum(x.kind()) + (y * grad_y).sum(y.kind());
    &surrogate - surrogate.detach() + pair.value
}

/// One side: its rows, scaled so that the kernel is exp(−d²) of scaled rows, and laid out so
/// that one matrix product gives −d² = 2 x_i·x_j − |x_i|² − |x_j|².
struct Side {
    /// x | −|x|² | 1
    left: Tensor,
    /// 2x | 1 | −|x|²
    right: Tensor,
    /// x | 1
    rows: Tensor,
    /// √(1/2σ²), 0-dim.
    scale: Tensor,
    /// The two rows whose distance gave the median, [2], where its gradient counts.
    median_pair: Option<Tensor>,
}

impl Side {
    fn new(x: &Tensor, estimator: Estimator) -> Self {
        // Distances do not see a shift; without it less is lost to rounding.
        let centred = x - x.mean_dim(&[0i64][..], true, None);
        let n = x.size()[0];
        let m = n.min(BANDWIDTH_ROWS);
        let (variance, median_pair) = match estimator {
            Estimator::Published => {
                let block = distances(&centred.narrow(0, 0, m)).flatten(0, -1);
                let (median, index) = block.median_dim(0, false);
                let row = index.divide_scalar_mode(m, "floor");
                let pair = Tensor::stack(&[row, index.remainder(m)], 0);
                (median / 2.0, Some(pair))
            }
            Estimator::Unbiased => {
                let chosen = subset(n, m).to_device(x.device());
                let block = distances(&centred.index_select(0, &chosen)).flatten(0, -1);
                let pairs = Tensor::triu_indices(m, m, 1, (Kind::Int64, x.device()));
                let above = block.index_select(0, &(pairs.get(0) * m + pairs.get(1)));
                (above.median(), None)
            }
        };
        let scale = (variance.clamp_min(SMALLEST_VARIANCE) * 2.0).rsqrt();
        let rows = centred * &scale;
        let squares = rows.square().sum_dim_intlist(&[1i64][..], true, None).neg();
        let ones = squares.ones_like();
        Side {
            left: Tensor::cat(&[&rows, &squares, &ones], 1),
            right: Tensor::cat(&[&(&rows * 2.0), &ones, &squares], 1),
            rows: Tensor::cat(&[&rows, &ones], 1),
            scale,
            median_pair,
        }
    }

    /// −d² of a tile.
    fn exponents(&self, tile: &Tile) -> Tensor {
        let (left, right) = (tile.rows(&self.left), tile.columns(&self.right));
        left.matmul(&right.tr()).clamp_max_(0.0)
    }
}

/// Squared distances between all rows of a few; exactly 0 on the diagonal.
fn distances(rows: &Tensor) -> Tensor {
    let squares = rows.square().sum_dim_intlist(&[1i64][..], true, None);
    let d = (&squares + squares.tr() - rows.matmul(&rows.tr()) * 2.0).clamp_min_(0.0);
    let _ = d.diagonal(0, 0, 1).zero_();
    d
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

/// A tile of the n×n matrices, on or above the diagonal: (start, length) of its rows and
/// of its columns.
#[derive(Clone, Copy)]
struct Tile {
    i: (i64, i64),
    j: (i64, i64),
}

impl Tile {
    fn all(n: i64, side: i64) -> Vec<Tile> {
        let parts: Vec<_> =
            (0..n).step_by(side as usize).map(|start| (start, side.min(n - start))).collect();
        let from = |(k, &i): (usize, &(i64, i64))| {
            parts[k..].iter().map(move |&j| Tile { i, j }).collect::<Vec<_>>()
        };
        parts.iter().enumerate().flat_map(from).collect()
    }

    fn rows(&self, of: &Tensor) -> Tensor {
        of.narrow(0, self.i.0, self.i.1)
    }

    fn columns(&self, of: &Tensor) -> Tensor {
        of.narrow(0, self.j.0, self.j.1)
    }

    fn on_diagonal(&self) -> bool {
        self.i == self.j
    }

    /// Adds the row sums of the whole matrix that this tile `t` (and its mirror image below
    /// the diagonal) has part in.
    fn add_row_sums(&self, t: &Tensor, into: &Tensor) {
        let sum = |dim: i64| t.sum_dim_intlist(&[dim][..], false, Kind::Double);
        let _ = self.rows(into).g_add_(&sum(1));
        if !self.on_diagonal() {
            let _ = self.columns(into).g_add_(&sum(0));
        }
    }

    /// Its share of the sum of a∘b over the whole matrix, float64.
    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        // Row by row in float32, which is exact enough, then in float64.
        let rows = (a * b).sum_dim_intlist(&[1i64][..], false, None);
        rows.sum(Kind::Double) * if self.on_diagonal() { 1.0 } else { 2.0 }
    }
}

/// Two sides and what a first pass over their kernels gives.
struct Pair {
    estimator: Estimator,
    sides: [Side; 2],
    tiles: Vec<Tile>,
    /// The kernels of the tiles, where these are so few that they are kept.
    kept: Vec<[Tensor; 2]>,
    /// a, b, c of the estimator.
    factors: (f64, f64, f64),
    /// u of both kernels, float64 [n].
    u: [Tensor; 2],
    /// Σ (∂V/∂K)∘K∘d² of both sides, where a median's gradient needs it.
    pulls: [Tensor; 2],
    value: Tensor,
}

impl Pair {
    fn new(x: &Tensor, y: &Tensor, estimator: Estimator) -> Self {
        let n = x.size()[0];
        let nf = n as f64;
        let (a, b, c) = match estimator {
            Estimator::Published => (1.0 / (nf - 1.0).powi(2), 1.0 / nf, 1.0 / (nf * nf)),
            Estimator::Unbiased => {
                (1.0 / (nf * (nf - 3.0)), 1.0 / (nf - 2.0), 1.0 / ((nf - 1.0) * (nf - 2.0)))
            }
        };
        let side = if x.device() == Device::Cpu { TILE } else { DEVICE_TILE };
        let double = (Kind::Double, x.device());
        let mut pair = Pair {
            estimator,
            sides: [Side::new(x, estimator), Side::new(y, estimator)],
            tiles: Tile::all(n, side),
            kept: Vec::new(),
            factors: (a, b, c),
            u: [0, 1].map(|_| Tensor::zeros([n], double)),
            pulls: [0, 1].map(|_| Tensor::zeros([0i64; 0], double)),
            value: Tensor::zeros([0i64; 0], double),
        };
        pair.sum(n <= 2 * side, x.kind());
        pair
    }

    /// Kernel of a tile, and K∘d² where it is wanted.
    fn kernel(&self, side: usize, tile: &Tile, weighted: bool) -> (Tensor, Option<Tensor>) {
        let mut exponents = self.sides[side].exponents(tile);
        if !weighted {
            let k = exponents.exp_();
            return (self.with_diagonal(k, tile), None);
        }
        let k = self.with_diagonal(exponents.exp(), tile);
        let weighted = exponents.neg_().g_mul_(&k);
        (k, Some(weighted))
    }

    /// A row's distance to itself is zero, not its rounding error; the unbiased estimator
    /// leaves it out.
    fn with_diagonal(&self, k: Tensor, tile: &Tile) -> Tensor {
        if tile.on_diagonal() {
            let own = if self.estimator == Estimator::Unbiased { 0.0 } else { 1.0 };
            let _ = k.diagonal(0, 0, 1).fill_(own);
        }
        k
    }

    /// First pass: sums of the kernels, and the value.
    fn sum(&mut self, keep: bool, kind: Kind) {
        let (a, b, c) = self.factors;
        let published = self.estimator == Estimator::Published;
        let double = (self.value.kind(), self.value.device());
        let n = self.u[0].size()[0];
        let zeros = || Tensor::zeros([n], double);
        let (mut product, mut weighted_product) =
            (self.value.copy(), self.pulls.each_ref().map(Tensor::copy));
        let (r, t) = ([zeros(), zeros()], [zeros(), zeros()]);
        for tile in &self.tiles {
            let [k, l] = [0, 1].map(|s| self.kernel(s, tile, published));
            tile.add_row_sums(&k.0, &r[0]);
            tile.add_row_sums(&l.0, &r[1]);
            product += tile.product(&k.0, &l.0);
            for (s, (weighted, other)) in [(&k.1, &l.0), (&l.1, &k.0)].into_iter().enumerate() {
                if let Some(weighted) = weighted {
                    tile.add_row_sums(weighted, &t[s]);
                    weighted_product[s] += tile.product(weighted, other);
                }
            }
            if keep {
                self.kept.push([k.0, l.0]);
            }
        }
        let totals = r.each_ref().map(|r| r.sum(Kind::Double));
        self.value = ((product - r[0].dot(&r[1]) * (2.0 * b) + &totals[0] * &totals[1] * c) * a)
            .to_kind(kind);
        self.u = [0, 1].map(|s| &r[s] * b - &totals[s] * (c / 2.0));
        // Σ_ij (L_ij − u_i − u_j) M_ij with M = K∘d².
        self.pulls = [0, 1].map(|s| (&weighted_product[s] - self.u[1 - s].dot(&t[s]) * 2.0) * a);
    }

    /// Second pass. With d² of scaled rows, ∂V/∂d²_ij = −W_ij, W = a K∘(L − u_i − u_j), and
    /// ∂V/∂x_i = −4 (Σ_j W_ij x_i − Σ_j W_ij x_j).
    fn gradients(&self) -> [Tensor; 2] {
        let a = self.factors.0;
        let kind = self.sides[0].rows.kind();
        let u = self.u.each_ref().map(|u| u.to_kind(kind));
        // W x | W 1
        let mut sums = self.sides.each_ref().map(|side| side.rows.zeros_like());
        for (number, tile) in self.tiles.iter().enumerate() {
            let [k, l] = match self.kept.get(number) {
                Some(kept) => kept.each_ref().map(Tensor::shallow_clone),
                None => [0, 1].map(|s| self.kernel(s, tile, false).0),
            };
            let weights = |own: &Tensor, other: &Tensor, u: &Tensor| {
                let mut w = other - tile.rows(u).unsqueeze(1);
                w.g_sub_(&tile.columns(u).unsqueeze(0)).g_mul_(own)
            };
            let w = [weights(&k, &l, &u[1]), weights(&l, &k, &u[0])];
            for ((w, side), sums) in w.iter().zip(&self.sides).zip(&mut sums) {
                let _ = tile.rows(sums).addmm_(w, &tile.columns(&side.rows));
                if !tile.on_diagonal() {
                    let _ = tile.columns(sums).addmm_(&w.tr(), &tile.rows(&side.rows));
                }
            }
        }
        [0, 1].map(|s| {
            let (side, sums) = (&self.sides[s], &sums[s]);
            let width = sums.size()[1] - 1;
            let x = side.rows.narrow(1, 0, width);
            let own = sums.narrow(1, width, 1) * &x - sums.narrow(1, 0, width);
            let mut gradient = own * (&side.scale * (-4.0 * a));
            if let Some(pair) = &side.median_pair {
                // ∂V/∂σ² = pull/σ² and σ² = |x_p − x_q|²/2 in unscaled rows, 1/σ² = 2·scale².
                let towards = x.index_select(0, pair);
                let towards = (&towards - towards.flip([0i64])) * (&side.scale * 2.0);
                let _ = gradient.index_add_(0, pair, &(towards * self.pulls[s].to_kind(kind)));
            }
            gradient
        })
    }
}

#[cfg(test)]
#[path = "hsic_tests.rs"]
mod tests;
