//! Faces as training data.
//!
//! - [`Index`]: the images of a folder of people, sorted, cached, the same on every rank;
//!   [`check`] decodes all of them.
//! - [`Faces`]: the images of an index at one size, decoded from their files or read from a
//!   decoded cache.
//! - [`BadImages`]: the images that turned out bad, and how many may.
//! - [`Sampler`]: which images a rank sees in which batch, as a pure function.
//! - [`PairLoader`]: batches of (source, target) images of two people (method.md §1),
//!   decoded ahead by a thread pool with bounded memory; bytes until
//!   [`PairBatch::to_device`].
//! - [`FaceLoader`]: batches of single images with the numbers of their people, and [`Split`]:
//!   which people are held out of them.
//! - [`read_photo`], [`read_image`]: one file, for whoever needs just that.
//! - [`save`]: the way back, from pixels to a file without metadata.
//! - [`similarity`]: the five-landmark alignment of method.md §7.
//! - [`demo`]: real faces out of packages that registries carry; [`packages`]: any file out
//!   of one.
//!
//! Everything random is a pure function of (seed, epoch, position in the epoch), so a
//! resumed run needs no saved state of this crate: epoch and batch number suffice.
//!
//! # Synthetic faces
//!
//! Drawn faces with known identity and attributes will live in a module `synth` beside
//! [`demo`] and write the same layout: one folder per person.

mod bad;
mod batch;
mod cache;
mod check;
mod decoded;
pub mod demo;
mod error;
mod faces;
mod file;
mod index;
#[cfg(feature = "turbojpeg")]
mod jpeg;
mod links;
mod listing;
mod loader;
pub mod packages;
mod pairs;
mod picture;
mod planes;
mod random;
mod sampler;
pub mod save;
pub mod similarity;
mod singles;
mod split;
mod tensor;
mod webp;

pub use bad::BadImages;
pub use batch::PairBatch;
pub use check::{CheckReport, check};
pub use decoded::CacheReport;
pub use error::Error;
pub use faces::Faces;
pub use image::RgbImage;
pub use index::{BadFile, Image, Index, Person, Progress};
pub use links::{FoundLinks, Links, Root};
pub use pairs::{PairConfig, PairItem, PairLoader, Relation};
#[doc(hidden)]
pub use picture::decode_small;
pub use picture::{DECODER, MAX_SIDE, read_image, read_photo, read_photo_within};
pub use planes::Planes;
pub use sampler::Sampler;
pub use singles::{FaceBatch, FaceConfig, FaceItem, FaceLoader};
pub use split::Split;
pub use tensor::to_tensor;

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
