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

use crate::sides::Side;
use crate::tiles::{Tile, sum};

/// Side of a tile on a CPU: 1 MB of float32, so that a core's cache holds what it works on.
const TILE: i64 = 512;
/// Side of a tile on other devices, which want large operations: 64 MB.
const DEVICE_TILE: i64 = 4096;
/// Numbers of a matrix of all images computed together there: 256 MB.
const DEVICE_NUMBERS: i64 = 1 << 26;

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
    let images = z.size()[0];
    let together = if z.device() == Device::Cpu {
        // A core's cache holds the tiles of one.
        1
    } else {
        // Every operation is a launch, however small: as many images as memory allows.
        let side = z.size()[1].min(DEVICE_TILE);
        (DEVICE_NUMBERS / (side * side)).max(1)
    };
    let values: Vec<Tensor> = (0..images)
        .step_by(together as usize)
        .map(|start| {
            let some = |t: &Tensor| t.narrow(0, start, together.min(images - start));
            each(&some(&z), &some(&p), estimator)
        })
        .collect();
    Tensor::cat(&values, 0) * weight
}

/// HSIC of two sets of n paired rows.
///
/// Beside the gradients it takes memory for a few tiles of at most 512 rows (4096 on a GPU).
///
/// # Shapes
/// `x` [n, C], `y` [n, D] → 0-dim, differentiable in both.
pub fn hsic(x: &Tensor, y: &Tensor, estimator: Estimator) -> Tensor {
    each(&x.unsqueeze(0), &y.unsqueeze(0), estimator).get(0)
}

/// [`hsic`] of each of B pairs of sets.
///
/// # Shapes
/// `x` [B, n, C], `y` [B, n, D] → `[B]`.
fn each(x: &Tensor, y: &Tensor, estimator: Estimator) -> Tensor {
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
    let total = |t: Tensor| t.sum_dim_intlist(&[1i64, 2][..], false, x.kind());
    let surrogate = total(x * grad_x) + total(y * grad_y);
    &surrogate - surrogate.detach() + pair.value
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
    /// u of both kernels, float64 [B, n].
    u: [Tensor; 2],
    /// Σ (∂V/∂K)∘K∘d² of both sides, where a median's gradient needs it.
    pulls: [Tensor; 2],
    value: Tensor,
}

impl Pair {
    fn new(x: &Tensor, y: &Tensor, estimator: Estimator) -> Self {
        let (images, n) = (x.size()[0], x.size()[1]);
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
            u: [0, 1].map(|_| Tensor::zeros([images, n], double)),
            pulls: [0, 1].map(|_| Tensor::zeros([images], double)),
            value: Tensor::zeros([images], double),
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
            let _ = k.diagonal(0, 1, 2).fill_(own);
        }
        k
    }

    /// First pass: sums of the kernels, and the value.
    fn sum(&mut self, keep: bool, kind: Kind) {
        let (a, b, c) = self.factors;
        let published = self.estimator == Estimator::Published;
        let zeros = || self.u[0].zeros_like();
        let (mut inner, mut weighted_inner) =
            (self.value.copy(), self.pulls.each_ref().map(Tensor::copy));
        let (r, t) = ([zeros(), zeros()], [zeros(), zeros()]);
        for tile in &self.tiles {
            let [k, l] = [0, 1].map(|s| self.kernel(s, tile, published));
            tile.add_row_sums(&k.0, &r[0]);
            tile.add_row_sums(&l.0, &r[1]);
            inner += tile.inner(&k.0, &l.0);
            for (s, (weighted, other)) in [(&k.1, &l.0), (&l.1, &k.0)].into_iter().enumerate() {
                if let Some(weighted) = weighted {
                    tile.add_row_sums(weighted, &t[s]);
                    weighted_inner[s] += tile.inner(weighted, other);
                }
            }
            if keep {
                self.kept.push([k.0, l.0]);
            }
        }
        let totals = r.each_ref().map(|r| sum(r, 1, Kind::Double));
        let dot = |a: &Tensor, b: &Tensor| sum(&(a * b), 1, None);
        self.value = ((inner - dot(&r[0], &r[1]) * (2.0 * b) + &totals[0] * &totals[1] * c) * a)
            .to_kind(kind);
        self.u = [0, 1].map(|s| &r[s] * b - totals[s].unsqueeze(1) * (c / 2.0));
        // Σ_ij (L_ij − u_i − u_j) M_ij with M = K∘d².
        self.pulls = [0, 1].map(|s| (&weighted_inner[s] - dot(&self.u[1 - s], &t[s]) * 2.0) * a);
    }

    /// Second pass. With d² of scaled rows, ∂V/∂d²_ij = −W_ij, W = a K∘(L − u_i − u_j), and
    /// ∂V/∂x_i = −4 (Σ_j W_ij x_i − Σ_j W_ij x_j).
    fn gradients(&self) -> [Tensor; 2] {
        let a = self.factors.0;
        let kind = self.sides[0].rows.kind();
        let u = self.u.each_ref().map(|u| u.to_kind(kind));
        // W x | W 1
        let sums = self.sides.each_ref().map(|side| side.rows.zeros_like());
        for (number, tile) in self.tiles.iter().enumerate() {
            let [k, l] = match self.kept.get(number) {
                Some(kept) => kept.each_ref().map(Tensor::shallow_clone),
                None => [0, 1].map(|s| self.kernel(s, tile, false).0),
            };
            let weights = |own: &Tensor, other: &Tensor, u: &Tensor| {
                let mut w = other - tile.rows(u).unsqueeze(2);
                w.g_sub_(&tile.columns(u).unsqueeze(1)).g_mul_(own)
            };
            let w = [weights(&k, &l, &u[1]), weights(&l, &k, &u[0])];
            for ((w, side), sums) in w.iter().zip(&self.sides).zip(&sums) {
                tile.add_products(w, &side.rows, sums);
            }
        }
        [0, 1].map(|s| {
            let (side, sums) = (&self.sides[s], &sums[s]);
            let width = sums.size()[2] - 1;
            let x = side.rows.narrow(2, 0, width);
            let own = sums.narrow(2, width, 1) * &x - sums.narrow(2, 0, width);
            let gradient = own * (&side.scale * (-4.0 * a));
            if let Some(pair) = &side.median_pair {
                // ∂V/∂σ² = pull/σ² and σ² = |x_p − x_q|²/2 in unscaled rows, 1/σ² = 2·scale².
                let (images, n) = (x.size()[0], x.size()[1]);
                let starts = Tensor::arange(images, (Kind::Int64, x.device())) * n;
                let pair = (pair + starts.unsqueeze(1)).flatten(0, -1);
                let flat = |t: &Tensor| t.reshape([images * n, width]);
                let towards = flat(&x).index_select(0, &pair).view([images, 2, width]);
                let towards = (&towards - towards.flip([1i64])) * (&side.scale * 2.0);
                let towards = towards * self.pulls[s].to_kind(kind).view([-1, 1, 1]);
                let _ = flat(&gradient).index_add_(0, &pair, &towards.view([-1, width]));
            }
            gradient
        })
    }
}

#[cfg(test)]
#[path = "hsic_tests.rs"]
mod tests;
