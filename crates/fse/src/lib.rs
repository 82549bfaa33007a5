//! Feature separation extractor (stage I): separation layers between identity
//! and perception, and the losses that train them.
//!
//! Formulas are those of method.md §4, with the corrections of §8 and the recipe of §9 unless the
//! run asks for published fidelity.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod angle;
mod config;
mod error;
mod extractor;
mod hsic;
mod inspection;
mod noise;
mod objective;
mod separation;
mod sides;
mod stage;
mod tiles;

pub use angle::{alignment_loss, angle_loss};
pub use config::{FseConfig, FseWeights};
pub use error::Error;
pub use extractor::{Extractor, halves};
pub use hsic::{Estimator, hsic, hsic_loss};
pub use inspection::{Inspection, LayerIndependence};
pub use noise::Noise;
pub use objective::{Objective, Separated};
pub use separation::{PerceptualNoise, Separation, separated_identity};
pub use stage::{FseStage, Painter, PainterFactory};
