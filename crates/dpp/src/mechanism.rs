//! What all mechanisms have in common, and their names.

use std::fmt::{self, Debug, Display};
use std::str::FromStr;

use crate::{
    Angular, Cap, Codebook, Error, Generator, Guarantee, Independent, Prototypes, PureEpsilon,
    Purkayastha, Vmf,
};

/// Draws an identity to show in place of another.
pub trait Mechanism: Debug + Send + Sync {
    /// As in [`Kind`], with what else a reader of the ledger must know.
    fn name(&self) -> String;

    /// What one draw proves.
    fn guarantee(&self) -> Guarantee;

    /// Whether the guarantee survives floating-point numbers, given random bits; else it is
    /// proven for real numbers, which a computer rounds.
    fn exact(&self) -> bool {
        false
    }

    /// One draw around `v`, of unit length.
    ///
    /// # Errors
    /// When `v` has no direction, or another number of dimensions than the mechanism.
    fn perturb(&self, v: &[f32], rng: &mut Generator) -> Result<Vec<f32>, Error>;

    /// What to print beside this mechanism's ε.
    fn claim(&self) -> String {
        self.guarantee().claim(self.exact())
    }
}

impl<M: Mechanism + ?Sized> Mechanism for Box<M> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn guarantee(&self) -> Guarantee {
        (**self).guarantee()
    }

    fn exact(&self) -> bool {
        (**self).exact()
    }

    fn perturb(&self, v: &[f32], rng: &mut Generator) -> Result<Vec<f32>, Error> {
        (**self).perturb(v, rng)
    }
}

/// The mechanisms, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// [`Codebook`]
    #[default]
    Codebook,
    /// [`Cap`]
    Cap,
    /// [`Purkayastha`]
    Purkayastha,
    /// [`Vmf`]
    Vmf,
    /// [`Independent`]
    Independent,
    /// [`Angular`]: a heuristic
    Angular,
}

impl Kind {
    /// All of them, the default first and the one without a guarantee last.
    pub const ALL: [Kind; 6] =
        [Kind::Codebook, Kind::Cap, Kind::Purkayastha, Kind::Vmf, Kind::Independent, Kind::Angular];

    /// What a user types.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Codebook => "codebook",
            Kind::Cap => "cap",
            Kind::Purkayastha => "purkayastha",
            Kind::Vmf => "vmf",
            Kind::Independent => "independent",
            Kind::Angular => "angular",
        }
    }

    /// The mechanism with a *pure* `epsilon` where it has a guarantee; for `angular` the noise
    /// scale. `independent` has ε = 0 whatever is asked for, and draws among `prototypes` if
    /// there are some.
    ///
    /// Identities have `dims` ≥ 3 dimensions; `prototypes` are what `codebook` needs. For metric
    /// budgets see [`Purkayastha::metric`] and [`Vmf::metric`].
    ///
    /// # Errors
    /// When a number is out of range, or there are no prototypes of `dims` dimensions.
    pub fn build(
        self,
        epsilon: f64,
        dims: usize,
        prototypes: Option<&Prototypes>,
    ) -> Result<Box<dyn Mechanism>, Error> {
        if let Some(prototypes) = prototypes
            && prototypes.dims() != dims
        {
            let found = prototypes.dims();
            return Err(Error::Length { what: "a prototype", expected: dims, found });
        }
        let pure = || PureEpsilon::new(epsilon);
        Ok(match (self, prototypes) {
            (Kind::Angular, _) => Box::new(Angular::new(epsilon)?),
            (Kind::Purkayastha, _) => Box::new(Purkayastha::pure(dims, pure()?)?),
            (Kind::Vmf, _) => Box::new(Vmf::pure(dims, pure()?)?),
            (Kind::Cap, _) => Box::new(Cap::new(dims, pure()?)?),
            (Kind::Codebook, Some(public)) => Box::new(Codebook::new(public.clone(), pure()?)),
            (Kind::Codebook, None) => return Err(Error::NoPrototypes),
            (Kind::Independent, Some(public)) => Box::new(Independent::among(public.clone())),
            (Kind::Independent, None) => Box::new(Independent::uniform(dims)?),
        })
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| Error::UnknownMechanism(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mechanism_is_built_by_its_name() {
        let prototypes = Prototypes::random(16, 8, 1).unwrap();
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            let mechanism = kind.build(2.0, 8, Some(&prototypes)).unwrap();
            assert_eq!(mechanism.name(), kind.name());
            let epsilon = match mechanism.guarantee() {
                Guarantee::Pure { epsilon } => Some(epsilon.get()),
                _ => None,
            };
            let expected = match kind {
                Kind::Angular => None,
                Kind::Independent => Some(0.0),
                _ => Some(2.0),
            };
            assert_eq!(epsilon, expected, "{kind}");
        }
        assert_eq!(Kind::Codebook.build(1.0, 8, None).unwrap_err(), Error::NoPrototypes);
        assert!(Kind::Codebook.build(1.0, 9, Some(&prototypes)).is_err());
        assert!("laplace".parse::<Kind>().is_err());
    }

    #[test]
    fn claims_say_no_more_than_is_proven() {
        let claim = |kind: Kind| kind.build(2.0, 8, None).unwrap().claim();
        assert!(claim(Kind::Angular).ends_with(Angular::CLAIM));
        assert!(claim(Kind::Cap).ends_with("proven in real arithmetic"));
        let prototypes = Prototypes::random(4, 8, 1).unwrap();
        let codebook = Codebook::new(prototypes, PureEpsilon::new(2.0).unwrap());
        assert!(codebook.claim().ends_with("exact on a computer"));
    }
}
