//! The losses of stage II (method.md §6), each a 0-dim tensor.
use c10d::World;
use c10d::torch::widened;
use tch::Tensor;

use crate::Error;

/// Above this similarity a pair is not one of [`DifferentPairs`].
const ALIKE: f64 = 0.3;
/// Weight with which the discriminator wants D(Y) to look like D(Xt).
const REPEAT: f64 = 1.1;

/// Cells along one side of the grid on which colour and light are kept.
const GRID: i64 = 8;
/// Pixels along one side of the windows in which structure is compared.
const WINDOW: i64 = 8;

/// Cosines of the rows of two batches [B, D] → `[B]`.
pub(crate) fn cosines(a: &Tensor, b: &Tensor) -> Tensor {
    Tensor::cosine_similarity(&widened(a), &widened(b), 1, 1e-8)
}

fn mean(t: &Tensor) -> Tensor {
    t.mean(None)
}

/// MSE(x, target).
fn off(x: &Tensor, target: i64) -> Tensor {
    mean(&(widened(x) - target).square())
}

fn average(parts: Vec<Tensor>) -> Tensor {
    mean(&Tensor::stack(&parts, 0))
}

/// Image discriminator, least squares: mean over scales of
/// ½ (MSE(D(Xt), 1) + MSE(D(Y), 0)).
pub fn discriminator(real: &[Tensor], fake: &[Tensor]) -> Tensor {
    let scale = |(r, f): (&Tensor, &Tensor)| (off(r, 1) + off(f, 0)) * 0.5;
    average(real.iter().zip(fake).map(scale).collect())
}

/// Generator against it: mean over scales of MSE(D(Y), 1).
pub fn adversarial(fake: &[Tensor]) -> Tensor {
    average(fake.iter().map(|f| off(f, 1)).collect())
}

/// Implicit identity discriminator: −2 (mean cos(id_s, D(Xs)) + mean cos(id_t,
/// D(Xt))) + mean |cos(id_Y, D(Y))| − 1.1 mean cos(D(Xt), D(Y)).
pub fn implicit_identity(
    (id_s, d_s): (&Tensor, &Tensor),
    (id_t, d_t): (&Tensor, &Tensor),
    (id_y, d_y): (&Tensor, &Tensor),
) -> Tensor {
    (mean(&cosines(id_s, d_s)) + mean(&cosines(id_t, d_t))) * -2.0 + mean(&cosines(id_y, d_y).abs())
        - mean(&cosines(d_t, d_y)) * REPEAT
}

/// Generator against it: mean |cos(D(Xt), D(Y))|.
pub fn implicit_adversarial(d_t: &Tensor, d_y: &Tensor) -> Tensor {
    mean(&cosines(d_t, d_y).abs())
}

/// Mean over i of MSE(a_i, b_i).
pub fn perceptual(a: &[Tensor], b: &[Tensor]) -> Tensor {
    average(a.iter().zip(b).map(|(a, b)| mean(&(a - b).square())).collect())
}

/// −cos of E(Y) and the identity that each face was given, mean over the batch; a pair counts
/// `shares` of it.
///
/// # Shapes
/// `e_y`, `wanted` [B, D], `shares` `[B]`.
pub fn pull(e_y: &Tensor, wanted: &Tensor, shares: &Tensor) -> Tensor {
    -mean(&(cosines(e_y, wanted) * shares))
}

/// How much nearer E(Y) is to E(Xt) than E(Xs), another person's, is: (cos(E(Y), E(Xt)) −
/// cos(E(Xs), E(Xt)))⁺, mean over the batch; a pair counts `shares` of it.
///
/// Not cos⁺ alone: recognisers see all faces on one side of the sphere, and what is far from every
/// face there is no face.
///
/// # Shapes
/// `e_y`, `e_s`, `e_t` [B, D], `shares` `[B]`.
pub fn push(e_y: &Tensor, (e_s, e_t): (&Tensor, &Tensor), shares: &Tensor) -> Tensor {
    mean(&((cosines(e_y, e_t) - cosines(e_s, e_t)).relu() * shares))
}

/// Adversary: −cos of who it takes the target for and who that is; and of a painted face, by how
/// much it takes it for the source rather than the target. Mean over the batch; a painted face
/// counts `shares` of it.
///
/// # Shapes
/// `a_t`, `a_y` (what it sees in target and painted face), `e_s`, `e_t` [B, D], `shares` `[B]`.
pub fn pursuit(
    (a_t, a_y): (&Tensor, &Tensor),
    (e_s, e_t): (&Tensor, &Tensor),
    shares: &Tensor,
) -> Tensor {
    mean(&((cosines(a_y, e_s) - cosines(a_y, e_t)) * shares - cosines(a_t, e_t)))
}

/// |Y − X|, mean over pixels and the batch; a pair counts `shares` of it.
///
/// # Shapes
/// `y`, `x` [B, 3, S, S], `shares` `[B]`.
pub fn reconstruction(y: &Tensor, x: &Tensor, shares: &Tensor) -> Tensor {
    let off = widened(&(y - x)).abs().mean_dim(&[1i64, 2, 3][..], false, None);
    mean(&(off * shares))
}

/// 1 − SSIM(Y, X) ([Wang et al. 2004](https://doi.org/10.1109/TIP.2003.819861)) over square windows
/// of 8 pixels, every fourth, mean over them and the batch.
///
/// # Shapes
/// `y`, `x` [B, 3, S, S] in [−1, 1].
pub fn dissimilarity(y: &Tensor, x: &Tensor) -> Tensor {
    let (y, x) = (widened(y), widened(x));
    let window = |t: &Tensor| t.avg_pool2d([WINDOW; 2], [WINDOW / 2; 2], [0; 2], false, true, None);
    let (mean_y, mean_x) = (window(&y), window(&x));
    let both = &mean_y * &mean_x;
    let squares = mean_y.square() + mean_x.square();
    let spread = window(&(y.square() + x.square())) - &squares;
    let together = window(&(y * x)) - &both;
    // The usual constants, for values whose range is 2.
    let [c1, c2] = [0.01f64, 0.03].map(|k| (2.0 * k).powi(2));
    let likeness = (both * 2.0 + c1) / (squares + c1) * ((together * 2.0 + c2) / (spread + c2));
    1.0 - mean(&likeness)
}

/// |Y − X|⁴, mean over pixels and the batch.
///
/// # Shapes
/// `y`, `x` [B, 3, S, S].
pub fn nearness(y: &Tensor, x: &Tensor) -> Tensor {
    mean(&widened(&(y - x)).square().square())
}

/// Mean square of what the colours of an 8 × 8 grid differ by; and of what its brightness, the
/// mean of the channels, does.
///
/// # Shapes
/// `y`, `x` [B, 3, S, S].
pub fn grid(y: &Tensor, x: &Tensor) -> [Tensor; 2] {
    // Not the adaptive one, whose gradient CUDA adds up in any order.
    let cell = y.size()[2] / GRID;
    let off = widened(&(y - x)).avg_pool2d([cell; 2], [cell; 2], [0; 2], false, true, None);
    let light = off.mean_dim(&[1i64][..], false, None);
    [mean(&off.square()), mean(&light.square())]
}

/// The pairs of different enough people (cos(E(Xs), E(Xt)) < 0.3) of all ranks. Their number
/// is agreed on while the step goes on, so that no rank waits for another in its middle.
pub struct DifferentPairs {
    between: Tensor,
    counts: Tensor,
    total: Tensor,
    agreed: c10d::Work,
    ranks: f64,
}

impl DifferentPairs {
    /// Compares sources and targets [B, D]; all ranks call it together.
    ///
    /// # Errors
    /// When another rank cannot be reached.
    pub fn count(e_s: &Tensor, e_t: &Tensor, world: &World) -> Result<DifferentPairs, Error> {
        let between = cosines(e_s, e_t);
        let counts = between.lt(ALIKE).to_kind(between.kind());
        let total = counts.sum(None);
        let agreed = world.all_reduce_async(&total, c10d::ReduceOp::Sum)?;
        Ok(DifferentPairs { between, counts, total, agreed, ranks: world.size() as f64 })
    }

    /// Over these pairs: mean (cos(E(Y), z_id(Xt)) − cos(E(Xs), E(Xt)))²; 0 when there is none.
    ///
    /// The mean is over all ranks' pairs: each rank's value is scaled so that the average
    /// over ranks is that mean.
    ///
    /// # Errors
    /// When another rank cannot be reached.
    pub fn negative(self, e_y: &Tensor, z_t: &Tensor) -> Result<Tensor, Error> {
        self.agreed.wait()?;
        let share = self.total.clamp_min(1.0) / self.ranks;
        let off = (cosines(e_y, z_t) - self.between).square();
        Ok((off * self.counts).sum(None) / share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn rows(values: &[[f32; 2]]) -> Tensor {
        Tensor::from_slice(values.as_flattened()).view([-1, 2])
    }

    #[test]
    fn negative_counts_only_pairs_of_different_people() {
        let world = World::solo();
        let e_s = rows(&[[1.0, 0.0], [1.0, 0.0]]);
        let e_t = rows(&[[0.0, 1.0], [1.0, 0.1]]);
        let e_y = rows(&[[0.6, 0.8], [0.0, 1.0]]);
        let negative = |e_t: &Tensor, z_t: &Tensor| {
            let pairs = DifferentPairs::count(&e_s, e_t, &world).unwrap();
            pairs.negative(&e_y, z_t).unwrap().double_value(&[])
        };
        let value = negative(&e_t, &e_t);
        assert!((value - 0.64).abs() < 1e-6, "{value}");
        assert_eq!(negative(&e_s, &e_t), 0.0);
    }

    #[test]
    fn what_concerns_no_pair_counts_nothing() {
        let (a, b) = (rows(&[[1.0, 0.0], [0.6, 0.8]]), rows(&[[1.0, 0.0], [0.0, -1.0]]));
        let shares = |x: [f32; 2]| Tensor::from_slice(&x);
        let value = |t: Tensor| t.double_value(&[]);
        // Cosines 1 and −0.8.
        assert!((value(pull(&a, &b, &shares([1.0, 0.5]))) + 0.3).abs() < 1e-6);
        // Somebody else is at cosines 0 and −1 from the people of `b`: 1 and 0.2 nearer.
        let other = rows(&[[0.0, 1.0], [0.0, 1.0]]);
        let nearer = |of: [f32; 2]| value(push(&a, (&other, &b), &shares(of)));
        assert!((nearer([1.0, 1.0]) - 0.6).abs() < 1e-6);
        assert!((nearer([0.0, 1.0]) - 0.1).abs() < 1e-6);
        assert_eq!(value(push(&other, (&a, &b), &shares([1.0, 1.0]))), 0.0);
        let x = Tensor::zeros([2, 3, 16, 16], (Kind::Float, Device::Cpu));
        let y = Tensor::stack(&[x.get(0) + 0.5, x.get(1) - 0.25], 0);
        assert!((value(reconstruction(&y, &x, &shares([1.0, 0.0]))) - 0.25).abs() < 1e-6);
        assert!((value(nearness(&y, &x)) - (0.0625 + 0.00390625) / 2.0).abs() < 1e-6);
        let [low, light] = grid(&y, &x).map(value);
        assert!((low - 0.15625).abs() < 1e-6 && (light - 0.15625).abs() < 1e-6, "{low} {light}");
        // What evens out within a cell, or between channels, is not seen by them.
        let checks = Tensor::from_slice(&[0.5f32, -0.5]).repeat([8]).view([1, 1, 1, 16]);
        assert_eq!(value(grid(&(&x + checks), &x)[0].shallow_clone()), 0.0);
        let tint = Tensor::from_slice(&[0.5f32, 0.0, -0.5]).view([1, 3, 1, 1]);
        let [low, light] = grid(&(&x + tint), &x).map(value);
        assert!(low > 0.1 && light < 1e-12);
    }

    #[test]
    fn discriminator_losses_are_their_formulas() {
        let ones = Tensor::ones([1, 1, 3, 3], (Kind::Float, Device::Cpu));
        let half = &ones * 0.5;
        let value = discriminator(&[half.copy(), ones.copy()], &[half.copy(), ones.copy()]);
        // Scale 1: ½(¼ + ¼); scale 2: ½(0 + 1).
        assert!((value.double_value(&[]) - (0.25 + 0.5) / 2.0).abs() < 1e-6);
        assert!((adversarial(&[half]).double_value(&[]) - 0.25).abs() < 1e-6);
        let (a, b) = (rows(&[[1.0, 0.0]]), rows(&[[-1.0, 0.0]]));
        let iid = implicit_identity((&a, &a), (&a, &b), (&a, &b)).double_value(&[]);
        assert!((iid - (0.0 + 1.0 - 1.1)).abs() < 1e-6, "{iid}");
    }
}
