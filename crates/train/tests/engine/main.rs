//! The engine, end to end, on a toy stage with two groups.
#![allow(clippy::unwrap_used)]

mod damage;
mod disk;
mod events;
mod links;
mod nonfinite;
mod python;
mod ranks;
mod refusals;
mod requests;
mod resume;
mod retention;
mod saving;
mod toy;
