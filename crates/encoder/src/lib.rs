//! The identity encoder (IR-SE-50), its features and their statistics over a
//! data set.
//!
//! Stages I and II see a frozen encoder: it is read from a file, or drawn at random when no
//! weights are given. [`pretraining`] trains one: IR-SE-50 on a folder of people.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod error;
mod frozen;
mod held_out;
mod ir_se;
mod norm;
pub mod pretraining;
mod stats;

pub use config::{Fidelity, ModelConfig, READOUT_LAYERS, SEPARATION_LAYERS};
pub use error::Error;
pub use frozen::{FrozenEncoder, Origin};
pub use held_out::HeldOut;
pub use ir_se::{Encoder, normalize};
pub use norm::{BatchNorm, BatchStatistics, Mode};
pub use stats::{Discriminants, LayerStats, Stats, StatsAccumulator, StatsMeaning};
