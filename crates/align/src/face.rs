use faces::similarity::{Similarity, reference_points};
use serde::Serialize;

use crate::Bounds;

/// A face in a photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Face {
    /// The face from forehead to chin.
    #[serde(rename = "box")]
    pub bounds: Bounds,
    /// Left and right eye as seen, nose, left and right corner of the mouth; pixel centres at
    /// whole numbers. They may lie outside of the photo when it cuts the face.
    pub landmarks: [[f64; 2]; 5],
    /// How sure the detector is, 0 to 1.
    pub score: f64,
}

impl Face {
    /// The transform that takes the photo's pixels to those of an upright crop of
    /// `size` × `size` pixels: the landmarks as close as possible to the reference points
    /// (method.md §7), never mirrored. `None` where the landmarks lie in one point.
    pub fn transform(&self, size: u32) -> Option<Similarity> {
        Similarity::estimate(&self.landmarks, &reference_points(size))
    }
}
