use crate::sphere::{dot, fits, sphere, unit, widen};
use crate::{Error, Generator, Guarantee, Mechanism};

/// A mechanism on a public subspace: v is projected to k dimensions, its direction there is
/// perturbed, and what is outside comes from a public vector. Fewer dimensions keep more of
/// what they hold at the same ε; what of v lies outside is lost.
///
/// The projection must not depend on the people protected. The guarantee is the mechanism's,
/// since the projected direction is a function of v; for that reason it must be a pure one:
/// identities close together may be far apart in the subspace, so a metric guarantee would be
/// about another distance.
#[derive(Debug)]
pub struct Subspace<M> {
    mechanism: M,
    /// Orthonormal.
    basis: Vec<Vec<f64>>,
    dims: usize,
    /// Added to what the mechanism gives; orthogonal to the basis.
    fill: Vec<f64>,
}

impl<M: Mechanism> Subspace<M> {
    /// `basis` [k, d]: k ≥ 3 public directions that span the subspace, orthonormalised in their
    /// order; `mechanism` of k dimensions with a pure guarantee. `fill`: a public vector of d
    /// numbers whose part outside the subspace is added to the unit vector inside before the sum
    /// is scaled to unit length; zeros to stay in the subspace.
    ///
    /// # Errors
    /// When the guarantee is not pure, or the basis' vectors differ in their number of
    /// dimensions or are linearly dependent.
    pub fn new(mechanism: M, basis: &[Vec<f32>], fill: &[f32]) -> Result<Self, Error> {
        if !matches!(mechanism.guarantee(), Guarantee::Pure { .. }) {
            return Err(Error::NotPure(mechanism.name()));
        }
        sphere(basis.len())?;
        let dims = fill.len();
        let mut directions: Vec<Vec<f64>> = Vec::with_capacity(basis.len());
        for (index, vector) in basis.iter().enumerate() {
            fits("a basis vector", vector, dims)?;
            let degenerate = |_| Error::Degenerate { what: "basis vector", index };
            let mut rest = unit(&widen(vector)).map_err(degenerate)?;
            // Twice is enough: what rounding left of the others the first time goes.
            outside(&mut rest, &directions);
            if dot(&rest, &rest) < 1e-8 {
                return Err(Error::Degenerate { what: "basis vector", index });
            }
            outside(&mut rest, &directions);
            directions.push(unit(&rest).map_err(degenerate)?);
        }
        let mut fill = widen(fill);
        if let Some(odd) = fill.iter().find(|x| !x.is_finite()) {
            return Err(Error::NoDirection(*odd));
        }
        outside(&mut fill, &directions);
        Ok(Subspace { mechanism, basis: directions, dims, fill })
    }

    /// Cosine between `v` and its projection, |Pv| in [0, 1]: what is left to be perturbed.
    ///
    /// # Errors
    /// When `v` has no direction or another number of dimensions.
    pub fn kept(&self, v: &[f32]) -> Result<f64, Error> {
        let inside = self.project(v)?;
        Ok(dot(&inside, &inside).sqrt())
    }

    fn project(&self, v: &[f32]) -> Result<Vec<f64>, Error> {
        fits("the identity", v, self.dims)?;
        let v = unit(&widen(v))?;
        Ok(self.basis.iter().map(|direction| dot(direction, &v)).collect())
    }
}

/// Takes off the parts along orthonormal `directions`.
fn outside(v: &mut [f64], directions: &[Vec<f64>]) {
    for direction in directions {
        let along = dot(v, direction);
        v.iter_mut().zip(direction).for_each(|(v, d)| *v -= along * d);
    }
}

impl<M: Mechanism> Mechanism for Subspace<M> {
    fn name(&self) -> String {
        let (k, d) = (self.basis.len(), self.dims);
        format!("{} on {k} of {d} dimensions", self.mechanism.name())
    }

    fn guarantee(&self) -> Guarantee {
        self.mechanism.guarantee()
    }

    fn exact(&self) -> bool {
        self.mechanism.exact()
    }

    fn perturb(&self, v: &[f32], rng: &mut Generator) -> Result<Vec<f32>, Error> {
        let mut inside: Vec<f32> = self.project(v)?.into_iter().map(|x| x as f32).collect();
        // A v orthogonal to the subspace must be answered like any other: an error would tell.
        if inside.iter().all(|&x| x == 0.0) {
            inside[0] = 1.0;
        }
        let drawn = self.mechanism.perturb(&inside, rng)?;
        let mut released = self.fill.clone();
        for (along, direction) in widen(&drawn).into_iter().zip(&self.basis) {
            released.iter_mut().zip(direction).for_each(|(w, d)| *w += along * d);
        }
        Ok(unit(&released)?.into_iter().map(|x| x as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cap, Independent, PerRadian, Prototypes, PureEpsilon, Purkayastha};
    use rand::SeedableRng;

    fn basis(k: usize, d: usize) -> Vec<Vec<f32>> {
        let random = Prototypes::random(k, d, 9).unwrap();
        (0..k).map(|index| random.get(index).to_vec()).collect()
    }

    fn cap(k: usize, epsilon: f64) -> Cap {
        Cap::new(k, PureEpsilon::new(epsilon).unwrap()).unwrap()
    }

    /// privacy.md: cap at pure ε = 10 and 30 keeps these cosines times |Pv|.
    #[test]
    fn fewer_dimensions_keep_more() {
        for (k, at_10, at_30) in [(16, 0.70, 0.97), (32, 0.535, 0.88), (64, 0.39, 0.72)] {
            assert!((cap(k, 10.0).expected_cosine() - at_10).abs() < 0.0055, "{k}");
            assert!((cap(k, 30.0).expected_cosine() - at_30).abs() < 0.0055, "{k}");
        }
        let (k, d, n) = (16, 64, 4000);
        let mechanism = Subspace::new(cap(k, 10.0), &basis(k, d), &vec![0.0; d]).unwrap();
        let v = Prototypes::random(2, d, 4).unwrap();
        let v = v.get(0);
        let expected = 0.70 * mechanism.kept(v).unwrap();
        let mut rng = Generator::seed_from_u64(2);
        let mean = (0..n)
            .map(|_| dot(&widen(v), &widen(&mechanism.perturb(v, &mut rng).unwrap())))
            .sum::<f64>()
            / f64::from(n);
        // Hoeffding for cosines in ±|Pv|: false alarm below 1e-9; and 0.005 for the rounded 0.70.
        let tolerance =
            mechanism.kept(v).unwrap() * ((2.0 * (2e9f64).ln() / 4000.0).sqrt() + 0.005);
        assert!((mean - expected).abs() < tolerance, "{mean} for {expected}");
    }

    #[test]
    fn outside_the_subspace_all_is_public() {
        let (k, d) = (4, 12);
        let mut fill = vec![0.0; d];
        fill[3] = 2.0;
        let mechanism = Subspace::new(cap(k, 5.0), &basis(k, d), &fill).unwrap();
        let v: Vec<f32> = (0..d).map(|x| x as f32 - 3.0).collect();
        // The same inside, another outside: the same answer, bit by bit.
        let mut rotated = widen(&v);
        outside(&mut rotated, &mechanism.basis);
        let moved: Vec<f32> =
            v.iter().zip(&rotated).map(|(v, o)| (f64::from(*v) - 0.5 * o) as f32).collect();
        let draw = |v: &[f32]| mechanism.perturb(v, &mut Generator::seed_from_u64(3)).unwrap();
        let difference = draw(&v).into_iter().zip(draw(&moved)).map(|(a, b)| (a - b).abs());
        assert!(difference.fold(0.0, f32::max) < 1e-5);
        assert!(mechanism.perturb(&vec![0.0; d], &mut Generator::seed_from_u64(3)).is_err());
    }

    /// An error would tell that the identity has nothing in the subspace.
    #[test]
    fn an_identity_outside_is_answered_like_any_other() {
        let axes: Vec<Vec<f32>> =
            (0..3).map(|k| (0..5).map(|x| if x == k { 1.0 } else { 0.0 }).collect()).collect();
        let mechanism = Subspace::new(cap(3, 1.0), &axes, &[0.0; 5]).unwrap();
        let v = [0.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(mechanism.kept(&v), Ok(0.0));
        let w = widen(&mechanism.perturb(&v, &mut Generator::seed_from_u64(3)).unwrap());
        assert!((dot(&w, &w) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_voids_the_proof_is_refused() {
        let rows = basis(4, 8);
        let metric = Purkayastha::metric(4, PerRadian::new(1.0).unwrap()).unwrap();
        let refused = Subspace::new(metric, &rows, &[0.0; 8]).unwrap_err();
        assert_eq!(refused, Error::NotPure("purkayastha".into()));
        let twice = [rows[0].clone(), rows[1].clone(), rows[0].clone()];
        let refused = Subspace::new(cap(3, 1.0), &twice, &[0.0; 8]).unwrap_err();
        assert_eq!(refused, Error::Degenerate { what: "basis vector", index: 2 });
        let none = Subspace::new(Independent::uniform(4).unwrap(), &rows, &[0.0; 7]);
        assert!(none.is_err());
    }
}
