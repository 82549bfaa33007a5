//! The training engine: configuration, loop, optimizers, checkpoints, metrics, dashboards.
//!
//! The engine trains whatever implements [`Stage`] on whatever implements
//! [`Source`], on one rank or many, and knows nothing of faces or networks:
//!
//! - [`run()`] is the loop, top to bottom;
//! - [`Optimizers`] is what a stage uses to learn: one Adam or SGD and one reducer per group;
//! - [`config`] resolves presets, files, `--set` and flags into one configuration;
//! - [`checkpoint`] writes and verifies what a run needs in order to go on;
//! - `metrics.jsonl`, TensorBoard events and preview pictures are written by rank 0.
//!
//! Everything random in training is a pure function of (seed, epoch, item) or
//! (seed, step); see [`mix`]. Resuming therefore needs no hidden state. The
//! generators of libtorch are saved and restored all the same.

mod agree;
mod append;
pub mod checkpoint;
pub mod config;
mod error;
mod lock;
mod metrics;
mod optimizers;
mod pace;
mod places;
mod position;
mod preview;
mod progress;
mod requests;
mod resume;
mod run;
mod session;
mod spikes;
mod stage;
mod standing;
mod tensorboard;
mod trace;
mod verdicts;

pub use config::Config;
pub use error::Error;
pub use metrics::peak_memory_mb;
pub use optimizers::Optimizers;
pub use places::{Places, Resume, Summary};
pub use requests::{Requests, Stop};
pub use run::run;
pub use stage::{Batches, BoxError, Group, Losses, Source, Stage, StepInfo, Term, mix, unit};
