use rand::Rng;

use crate::codebook::below;
use crate::sphere::{fits, gaussian, sphere, unit, widen};
use crate::{Error, Generator, Guarantee, Kind, Mechanism, Prototypes, PureEpsilon};

/// An identity drawn without looking at the one it replaces: ε = 0.
#[derive(Clone, Debug)]
pub struct Independent {
    from: From,
}

#[derive(Clone, Debug)]
enum From {
    Sphere(usize),
    Prototypes(Prototypes),
}

impl Independent {
    /// Uniform on the sphere in `dims` ≥ 3 dimensions.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn uniform(dims: usize) -> Result<Self, Error> {
        Ok(Independent { from: From::Sphere(sphere(dims)?) })
    }

    /// One of the prototypes, all alike.
    pub fn among(prototypes: Prototypes) -> Self {
        Independent { from: From::Prototypes(prototypes) }
    }

    /// An identity of unit length.
    ///
    /// # Errors
    /// When all normal numbers drawn are 0, which does not happen.
    pub fn draw(&self, rng: &mut impl Rng) -> Result<Vec<f32>, Error> {
        match &self.from {
            From::Sphere(dims) => {
                let direction = unit(&gaussian(*dims, rng))?;
                Ok(direction.into_iter().map(|x| x as f32).collect())
            }
            From::Prototypes(prototypes) => {
                // Fits: it is below the number of prototypes.
                let index = below(prototypes.count() as u128, rng) as usize;
                Ok(prototypes.get(index).to_vec())
            }
        }
    }

    fn dims(&self) -> usize {
        match &self.from {
            From::Sphere(dims) => *dims,
            From::Prototypes(prototypes) => prototypes.dims(),
        }
    }
}

impl Mechanism for Independent {
    fn name(&self) -> String {
        Kind::Independent.to_string()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::Pure { epsilon: PureEpsilon::ZERO }
    }

    fn exact(&self) -> bool {
        true
    }

    /// The identity is checked as others do, and otherwise left alone.
    fn perturb(&self, v: &[f32], rng: &mut Generator) -> Result<Vec<f32>, Error> {
        fits("the identity", v, self.dims())?;
        unit(&widen(v))?;
        self.draw(rng)
    }
}
