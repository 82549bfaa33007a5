//! Faces in photos: found, cut out upright, and put back.
//!
//! - [`Detector`]: every face of a photo with its bounds and five landmarks; its weights come
//!   from [`fetch_weights`].
//! - [`cut`]: a face as an upright square (method.md §7, step 2).
//! - [`put_back`]: such a square, changed or not, as the pixels of the photo that it covers.
//!
//! - [`mod@blend`]: puts a painted crop into its photo, its colours fitted to the photo's.
//! - [`obscure`]: blur, mosaic and their like, to compare with; they need no model.
//!
//! Each works on images in memory and knows nothing of the others, so that frames of a video
//! and batches go the same way as a photo. Points are `[x, y]` in pixels.

pub mod blend;
mod bounds;
mod error;
mod face;
mod fetch;
mod mtcnn;
pub mod obscure;
mod warp;

pub use bounds::Bounds;
pub use error::Error;
pub use face::Face;
pub use fetch::{fetch_weights, has_weights};
pub use mtcnn::{Detector, DetectorConfig};
pub use warp::{Cut, Patch, cut, put_back};
