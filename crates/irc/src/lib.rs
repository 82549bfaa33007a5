//! Image re-constructor (stage II): decoder, generator, discriminators and the
//! losses that train them.
//!
//! Formulas and names are those of method.md §6, with the corrections of §8
//! and the recipe of §9 unless the run asks for published fidelity.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aad;
mod adversary;
mod condition;
mod config;
mod decoder;
mod error;
mod generator;
mod imagenet;
mod layers;
pub mod losses;
mod painted;
mod patch;
mod perturb;
mod protector;
mod reconstructor;
mod stage;
mod validation;
mod views;
mod xception;

pub use config::{IrcConfig, IrcWeights, Perturbation};
pub use decoder::Decoder;
pub use encoder::BatchStatistics;
pub use error::Error;
pub use generator::Generator;
pub use layers::{Mode, double};
pub use patch::PatchDiscriminator;
pub use protector::{Protector, View};
pub use reconstructor::Reconstructor;
pub use stage::IrcStage;
pub use validation::Validation;
pub use xception::IidDiscriminator;
