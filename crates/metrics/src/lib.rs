//! Measures, in plain Rust: numbers in, numbers out, no tensors.
//!
//! - [`Roc`]: how well scores tell two kinds of pairs apart: AUC, EER, TAR at a FAR.
//! - [`accuracy`]: the share of pairs judged rightly by a threshold learnt on other pairs.
//! - [`Embeddings`], [`Pairs`]: what a recogniser makes of photos, and the scores of their pairs.
//! - [`Bootstrap`], [`Interval`]: how sure a number is, by drawing people; [`Sweep`] is the ROC
//!   of people drawn so.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accuracy;
mod bootstrap;
mod embeddings;
mod error;
mod interval;
mod roc;
mod rows;
mod verification;
mod weighted;

pub use accuracy::accuracy;
pub use bootstrap::{Bootstrap, Method};
pub use embeddings::Embeddings;
pub use error::Error;
pub(crate) use error::check;
pub use interval::{Interval, wilson};
pub use roc::Roc;
pub use rows::Rows;
pub use verification::{Genuine, Pair, Pairs};
pub use weighted::{Rates, Sweep};
