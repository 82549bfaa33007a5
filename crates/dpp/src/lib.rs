//! Perturbation of an identity, a direction v on the unit sphere, with stated privacy. Pure Rust.
//!
//! | mechanism | density of w around v | guarantee |
//! |---|---|---|
//! | [`Codebook`] (default) | the nearest of m public identities kept with e^ε/(e^ε + m − 1) | pure ε, exact on a computer |
//! | [`Cap`] | two values in the ratio e^ε, split at a cosine | pure ε, and none keeps more cosine of a uniform identity |
//! | [`Purkayastha`] | ∝ exp(−r θ) | r per radian; pure ε = π r |
//! | [`Vmf`] | ∝ exp(κ v·w) | κ per unit of chord; pure ε = 2 κ |
//! | [`Independent`] | does not look at v | ε = 0 |
//! | [`Angular`] | published: θ ∝ exp(−ε θ/π), unbounded at θ = 0 | none: [`Angular::CLAIM`] |
//!
//! A pure ε bounds the likelihood ratio of *any* two identities, a metric one that of identities
//! some distance apart: [`PureEpsilon`], [`PerRadian`] and [`PerChord`] are different types. The
//! guarantees are proven for real numbers; only `codebook` and `independent` keep theirs on a
//! computer ([`Mechanism::exact`]). [`Subspace`] perturbs in fewer dimensions.
//!
//! What a guarantee is about is one identity vector and not the image: [`IMAGE_CLAIM`]. For those
//! who must decide whether to publish a photo: `docs/privacy.md`.
//!
//! A [`Release`] is one draw, and the only thing to give away. Every further draw for the same
//! person costs as much again, since averages undo the noise: cos ≈ ρ/√(ρ² + (1 − ρ²)/k) after k
//! draws with mean cosine ρ. An album therefore stores one release and uses it for all its photos:
//! one ε, but the photos can be linked. The [`Ledger`] adds up what was spent.
//!
//! SAP holds patents on sampling directional data with privacy (US 11,490,250 and US 12,400,030):
//! commercial users should check whether they concern them.
//!
//! ```
//! use dpp::{Kind, Mechanism, Randomness, Release};
//!
//! let v = [0.6, 0.0, 0.8];
//! let mechanism = Kind::Cap.build(2.0, 3, None)?;
//! let release = Release::draw(&mechanism, &v, &mut Randomness::system())?;
//! assert_eq!(release.vector().len(), 3);
//! assert_eq!(
//!     release.claim(),
//!     "pure differential privacy at ε = 2, proven in real arithmetic",
//! );
//! # Ok::<(), dpp::Error>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod angular;
mod budget;
mod cap;
mod codebook;
mod error;
mod heights;
mod independent;
mod ledger;
mod mechanism;
mod prototypes;
mod purkayastha;
mod random;
mod release;
mod sphere;
mod subspace;
mod vmf;

pub use angular::Angular;
pub use budget::{Guarantee, PerChord, PerRadian, PureEpsilon};
pub use cap::Cap;
pub use codebook::Codebook;
pub use error::Error;
pub use independent::Independent;
pub use ledger::{Entry, Ledger, LedgerError, Spent};
pub use mechanism::{Kind, Mechanism};
pub use prototypes::Prototypes;
pub use purkayastha::Purkayastha;
pub use random::{Generator, Origin, Randomness};
pub use release::Release;
pub use sphere::Angle;
pub use subspace::Subspace;
pub use vmf::Vmf;

/// What every report on protected images must say of the guarantee.
pub const IMAGE_CLAIM: &str = "The guarantee concerns the identity vector, conditional on the \
    features that are not protected. It does not bound re-identification from the image.";
