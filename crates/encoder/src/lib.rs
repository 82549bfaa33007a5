//! The identity encoder (IR-SE-50), its features and their statistics over a
//! data set.
//!
//! The encoder is frozen everywhere in FaceShield: it is read from a file (or
//! drawn at random when no weights are given) and never trained here.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod error;
mod frozen;
mod ir_se;
mod stats;

pub use config::{Fidelity, ModelConfig, READOUT_LAYERS, SEPARATION_LAYERS};
pub use error::Error;
pub use frozen::{FrozenEncoder, Origin};
pub use ir_se::{Encoder, normalize};
pub use stats::{LayerStats, Stats, StatsAccumulator, StatsMeaning};
