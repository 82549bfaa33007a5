//! Face detection, similarity warp, blending back.
//!
//! - [`mod@blend`]: puts a painted crop into its photo.
//! - [`obscure`]: blur, mosaic and their like, to compare with; they need no model.

pub mod blend;
pub mod obscure;
