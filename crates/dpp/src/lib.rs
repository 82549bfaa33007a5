//! Perturbation of an identity on the unit sphere. Pure Rust.
//!
//! So far the published mechanism only: [`Angular`]. It is a heuristic: see
//! [`Angular::CLAIM`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod angular;

pub use angular::{Angular, Error};
