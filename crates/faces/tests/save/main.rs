//! Results hold pixels and nothing else, and never replace an input.
#![allow(clippy::unwrap_used, missing_docs)]

mod files;
mod originals;
mod stripped;
