//! Privacy budgets, each of its own type: a number that is right for one notion of privacy is
//! wrong for another, by a factor of π or 2 here.

use std::f64::consts::PI;
use std::fmt::{self, Display};
use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Beyond it a bound on likelihood ratios says nothing, and samplers run out of digits.
const LARGEST: f64 = 1e6;

macro_rules! budget {
    ($(#[$docs:meta])* $name:ident, $what:literal) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// The output says nothing about the identity.
            pub const ZERO: Self = Self(0.0);

            /// # Errors
            /// When `value` is no number from 0 to 10⁶.
            pub fn new(value: f64) -> Result<Self, Error> {
                if (0.0..=LARGEST).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(Error::Budget { what: $what, value, largest: LARGEST })
                }
            }

            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = Error;

            fn try_from(value: f64) -> Result<Self, Error> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(budget: $name) -> f64 {
                budget.0
            }
        }

        /// Budgets of one kind add up over independent releases.
        impl Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

budget!(
    /// ε of pure differential privacy: p(w|v) ≤ e^ε p(w|v') for every output w and *any* two
    /// identities v and v', however far apart. From 0 to 10⁶, no unit.
    PureEpsilon,
    "the pure epsilon"
);

budget!(
    /// Rate r of metric privacy by angle: p(w|v) ≤ e^{r ∠(v, v')} p(w|v'). From 0 to 10⁶, per
    /// radian. Identities far apart are told apart as if ε were π r.
    PerRadian,
    "the rate per radian"
);

budget!(
    /// Rate κ of metric privacy by chord: p(w|v) ≤ e^{κ ‖v − v'‖} p(w|v'). From 0 to 10⁶, per
    /// unit of length on the unit sphere. Identities far apart are told apart as if ε were 2 κ.
    PerChord,
    "the rate per chord"
);

impl PerRadian {
    /// The pure budget that this rate amounts to: no angle is above π.
    pub fn to_pure(self) -> PureEpsilon {
        PureEpsilon(PI * self.0)
    }
}

impl PerChord {
    /// The pure budget that this rate amounts to: no chord is longer than 2.
    pub fn to_pure(self) -> PureEpsilon {
        PureEpsilon(2.0 * self.0)
    }
}

/// What a mechanism proves about one draw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Guarantee {
    /// Pure differential privacy.
    Pure {
        /// For any two identities.
        epsilon: PureEpsilon,
    },
    /// Metric privacy by angle.
    PerRadian {
        /// Per radian between two identities.
        rate: PerRadian,
    },
    /// Metric privacy by chord.
    PerChord {
        /// Per unit of ‖v − v'‖.
        rate: PerChord,
    },
    /// None: the number only scales the noise.
    Heuristic {
        /// The published ε.
        noise_scale: f64,
    },
}

impl Guarantee {
    /// Bound on |ln p(w|v) − ln p(w|v')| for identities `angle` radians apart, in [0, π]; `None`
    /// where nothing is proven.
    pub fn log_ratio(self, angle: f64) -> Option<f64> {
        match self {
            Guarantee::Pure { epsilon } => Some(epsilon.0),
            Guarantee::PerRadian { rate } => Some(rate.0 * angle),
            Guarantee::PerChord { rate } => Some(rate.0 * 2.0 * (angle / 2.0).sin()),
            Guarantee::Heuristic { .. } => None,
        }
    }

    /// In words, with what it rests on: `exact` as in [`Mechanism::exact`](crate::Mechanism).
    pub(crate) fn claim(self, exact: bool) -> String {
        match self {
            Guarantee::Heuristic { .. } => self.to_string(),
            _ if exact => format!("{self}, exact on a computer"),
            _ => format!("{self}, proven in real arithmetic"),
        }
    }
}

impl Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Guarantee::Pure { epsilon: PureEpsilon::ZERO } => {
                f.write_str("independent of the identity (pure ε = 0)")
            }
            Guarantee::Pure { epsilon } => {
                write!(f, "pure differential privacy at ε = {epsilon}")
            }
            Guarantee::PerRadian { rate } => write!(
                f,
                "metric privacy, {rate} per radian between identities (no more than pure ε = {})",
                rate.to_pure()
            ),
            Guarantee::PerChord { rate } => write!(
                f,
                "metric privacy, {rate} per unit of chord between identities (no more than pure \
                 ε = {})",
                rate.to_pure()
            ),
            Guarantee::Heuristic { noise_scale } => {
                write!(f, "ε = {noise_scale}: {}", crate::Angular::CLAIM)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_also_from_files() {
        for value in [-1.0, f64::NAN, f64::INFINITY, 1e7] {
            assert!(PureEpsilon::new(value).is_err(), "{value}");
        }
        assert!(serde_json::from_str::<PerRadian>("-1").is_err());
        let error = PerChord::new(-1.0).unwrap_err().to_string();
        assert_eq!(error, "the rate per chord = -1: use a number from 0 to 1e6");
    }

    #[test]
    fn a_rate_bounds_the_whole_sphere_and_little_nearby() {
        let rate = PerRadian::new(2.0).unwrap();
        let guarantee = Guarantee::PerRadian { rate };
        assert_eq!(guarantee.log_ratio(0.1), Some(0.2));
        assert_eq!(guarantee.log_ratio(PI), Some(rate.to_pure().get()));
        let chord = Guarantee::PerChord { rate: PerChord::new(3.0).unwrap() };
        assert_eq!(chord.log_ratio(PI), Some(6.0));
        assert_eq!(Guarantee::Heuristic { noise_scale: 1.0 }.log_ratio(1.0), None);
    }
}
