use std::sync::Arc;

use rand::SeedableRng;

use crate::sphere::{self, fits, gaussian, unit, widen};
use crate::{Error, Generator};

/// Public identities: embeddings of synthetic or consenting people, fixed before any photo is
/// protected and never a user's. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prototypes {
    dims: usize,
    /// Of unit length, one after the other.
    values: Arc<[f32]>,
}

impl Prototypes {
    /// # Errors
    /// When there are fewer than two, when they differ in their number of dimensions or have
    /// fewer than three, or when one has no direction.
    pub fn new(identities: &[Vec<f32>]) -> Result<Self, Error> {
        let dims = sphere::sphere(identities.first().map_or(0, Vec::len))?;
        if identities.len() < 2 {
            return Err(Error::FewPrototypes(identities.len()));
        }
        let mut values = Vec::with_capacity(identities.len() * dims);
        for (index, identity) in identities.iter().enumerate() {
            fits("a prototype", identity, dims)?;
            let direction = unit(&widen(identity))
                .map_err(|_| Error::Degenerate { what: "prototype", index })?;
            values.extend(direction.into_iter().map(|x| x as f32));
        }
        Ok(Prototypes { dims, values: values.into() })
    }

    /// `count` uniform directions in `dims` dimensions, by a public seed. They depend on no
    /// person and so serve any guarantee, but no face need look like them.
    ///
    /// # Errors
    /// When `count` is below 2 or `dims` below 3.
    pub fn random(count: usize, dims: usize, seed: u64) -> Result<Self, Error> {
        let mut rng = Generator::seed_from_u64(seed);
        let mut row = || gaussian(dims, &mut rng).into_iter().map(|x| x as f32).collect();
        let identities: Vec<Vec<f32>> = (0..count).map(|_| row()).collect();
        Self::new(&identities)
    }

    /// How many there are, 2 or more.
    pub fn count(&self) -> usize {
        self.values.len() / self.dims
    }

    /// Dimensions of each.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Prototype `index`, of unit length; empty where there is none.
    pub fn get(&self, index: usize) -> &[f32] {
        self.values.chunks_exact(self.dims).nth(index).unwrap_or_default()
    }

    /// Index of the prototype with the largest cosine to `v`, the first of equals.
    ///
    /// # Errors
    /// When `v` has no direction or another number of dimensions.
    pub fn nearest(&self, v: &[f32]) -> Result<usize, Error> {
        fits("the identity", v, self.dims)?;
        let v: Vec<f32> = unit(&widen(v))?.into_iter().map(|x| x as f32).collect();
        let cosines = self.values.chunks_exact(self.dims).map(|row| dot(&v, row));
        let (nearest, _) = cosines
            .enumerate()
            .fold((0, f32::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best });
        Ok(nearest)
    }
}

/// Several sums at once, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0f32; LANES];
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_prototype_is_nearest_to_itself() {
        let prototypes = Prototypes::random(40, 21, 3).unwrap();
        for index in 0..prototypes.count() {
            let longer: Vec<f32> = prototypes.get(index).iter().map(|x| 3.0 * x).collect();
            assert_eq!(prototypes.nearest(&longer), Ok(index));
        }
        assert!(prototypes.nearest(&[1.0; 20]).is_err());
        assert!(prototypes.nearest(&[f32::NAN; 21]).is_err());
    }

    #[test]
    fn what_is_no_codebook_is_refused() {
        let refused = |rows: &[Vec<f32>]| Prototypes::new(rows).unwrap_err();
        assert_eq!(refused(&[vec![1.0; 4]]), Error::FewPrototypes(1));
        assert_eq!(refused(&[]), Error::Dims(0));
        let zero = [vec![1.0; 4], vec![0.0; 4]];
        assert_eq!(refused(&zero), Error::Degenerate { what: "prototype", index: 1 });
        assert!(Prototypes::new(&[vec![1.0; 4], vec![1.0; 5]]).is_err());
    }
}
