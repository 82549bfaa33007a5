//! Measures, in plain Rust: numbers in, numbers out, no tensors.
//!
//! - [`Roc`]: how well scores tell two kinds of pairs apart: AUC, EER, TAR at a FAR.
//! - [`accuracy`]: the share of pairs judged rightly by a threshold learnt on other pairs.
//! - [`Embeddings`], [`Pairs`]: what a recogniser makes of photos, and the scores of their pairs.
//! - [`Identification`], [`protected`]: ranks of people in a gallery; whether protection held.
//! - [`psnr`], [`ssim`], [`colour_change`], [`landmark_error`]: what is left of a picture.
//! - [`attribute_probe`], [`identity_probe`]: what a linear model can read from features.
//! - [`hsic`], [`cka`]: how dependent two descriptions of the same photos are.
//! - [`Bootstrap`], [`Interval`]: how sure a number is, by drawing people; [`Sweep`] is the ROC
//!   of people drawn so.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accuracy;
mod bootstrap;
mod embeddings;
mod error;
mod identification;
mod independence;
mod interval;
mod landmarks;
mod linalg;
mod picture;
mod probe;
mod ridge;
mod roc;
mod rows;
mod ssim;
mod verification;
mod weighted;

pub use accuracy::accuracy;
pub use bootstrap::{Bootstrap, Method};
pub use embeddings::Embeddings;
pub use error::Error;
pub(crate) use error::check;
pub use identification::{Enrolment, Identification, Standing, protected};
pub use independence::{cka, hsic};
pub use interval::{Interval, wilson};
pub use landmarks::{EYES, Unit, landmark_error};
pub use picture::{Change, Picture, colour_change, psnr};
pub use probe::{Attributes, Identities, attribute_probe, identity_probe, r_squared};
pub use ridge::{PENALTIES, Ridge};
pub use roc::{Roc, threshold_at_far};
pub use rows::{Rows, places};
pub use ssim::ssim;
pub use verification::{Genuine, Pair, Pairs};
pub use weighted::{Rates, Sweep};
