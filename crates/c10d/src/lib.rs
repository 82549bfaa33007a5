//! libtorch's process groups (Gloo, NCCL) and DDP reducer, made safe for Rust.
//!
//! One program runs as several processes, *ranks*, that exchange tensors. A launcher
//! (`torchrun --no-python`, SLURM, a shell loop) starts them and sets `RANK`, `LOCAL_RANK`,
//! `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`; without these the program is one process
//! alone and the same code runs unchanged.
//!
//! ```
//! use std::time::Duration;
//! use c10d::{Backend, ReduceOp, Reducer, ReducerOptions, World};
//! use tch::{Device, Kind, Tensor};
//!
//! # fn main() -> Result<(), c10d::Error> {
//! let world = World::from_env(Backend::Gloo, Duration::from_secs(60))?;
//!
//! // The sum over all ranks, in place.
//! let x = Tensor::ones([3], (Kind::Float, Device::Cpu));
//! world.all_reduce(&x, ReduceOp::Sum)?;
//! assert_eq!(x.double_value(&[0]), world.size() as f64);
//!
//! // Gradients averaged over all ranks during the backward pass.
//! let weight = Tensor::zeros([3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
//! let params = [weight];
//! world.broadcast_all(&params, 0)?;
//! let reducer = Reducer::new(&world, &params, &ReducerOptions::default())?;
//! let loss = (&params[0] * (world.rank() as f64 + 1.0)).sum(Kind::Float);
//! reducer.prepare_for_backward(&loss)?;
//! c10d::backward(&loss)?;
//! let mean = (world.size() as f64 + 1.0) / 2.0;
//! assert_eq!(params[0].grad().double_value(&[0]), mean);
//! # Ok(())
//! # }
//! ```
//!
//! Everything is libtorch's own (TCPStore, ProcessGroupGloo, ProcessGroupNCCL, the reducer of
//! DistributedDataParallel), reached through a small C++ shim that lets no exception pass:
//! failures are [`Error`]s that name what happened. The module [`torch`] supplies a few things
//! that tch lacks.
//!
//! # Failures
//! A rank that does not come, or that goes away, is an error on the others after at most the
//! timeout given to [`World::from_env`]. The group is then of no more use: end the process and
//! start the run again; [`World::blame`] tells which rank the others have waited for in vain.
//! With NCCL, libtorch's own watchdog ends a process whose collective
//! timed out, unless `TORCH_NCCL_BLOCKING_WAIT=1` is set.
#![allow(unsafe_code)]

mod batch_norm;
mod collectives;
mod connection;
mod environment;
mod error;
mod escape;
mod ffi;
#[doc(hidden)]
pub mod fuzzing;
mod keeper;
mod listen;
mod pulse;
mod reducer;
mod roll;
mod seal;
mod secret;
mod store;
pub mod torch;
mod wire;
mod work;
mod world;

pub use batch_norm::sync_batch_norm;
pub use collectives::ReduceOp;
pub use environment::store_variables;
pub use error::{Error, Result};
pub use escape::escape;
pub use pulse::{Doing, Position, Pulse};
pub use reducer::{Reducer, ReducerOptions, backward};
pub use roll::{Report, Roll};
pub use secret::Secret;
pub use store::Store;
pub use work::Work;
pub use world::{Backend, World};
