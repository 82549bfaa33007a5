//! What became of each photo, as `report.json` says it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What became of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// Every face that was found, or asked for, is another one now.
    Protected,
    /// Written as it was, because that was allowed.
    Unprotected,
    /// Not written.
    Failed,
}

/// A face of a photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FaceReport {
    /// Left, top, right, bottom in pixels of the upright photo.
    pub(super) bounds: [f64; 4],
    /// Left and right eye, nose, left and right corner of the mouth.
    pub(super) landmarks: [[f64; 2]; 5],
    /// The detector's confidence, 0 to 1.
    pub(super) score: f64,
    pub(super) protected: bool,
    /// Why not, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// Of the mechanism and its draw; see ledger.jsonl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<String>,
    /// What is guaranteed, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) guarantee: Option<String>,
    /// Pure ε of all draws of this face that the folder's ledger knows; none when nothing is
    /// proven of one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epsilon_in_all: Option<f64>,
    /// Of the identities that the model itself sees in the photo before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cosine: Option<f64>,
}

/// How long the parts of a photo's way took, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seconds {
    /// Reading and decoding.
    pub(super) read: f64,
    /// Finding faces.
    pub(super) find: f64,
    /// The model, or the cover.
    pub(super) paint: f64,
    /// Setting painted faces into the photo.
    pub(super) blend: f64,
    /// All, encoding and writing included.
    pub(super) total: f64,
}

/// One photo's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PhotoReport {
    #[serde(serialize_with = "crate::output::path")]
    pub(super) input: PathBuf,
    /// Where the result is: in the record below the folder, in the report with it. None was
    /// written for a failed one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "crate::output::some_path")]
    pub(super) output: Option<PathBuf>,
    pub(super) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    pub(super) faces: Vec<FaceReport>,
    pub(super) seconds: Seconds,
    /// What the input was and how it was protected: another run skips what is the same.
    pub(super) stamp: String,
}

/// The whole of `report.json`.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mechanism: Option<String>,
    /// What is guaranteed and what is not: to be said wherever the results are used.
    pub(super) claims: Vec<String>,
    pub(super) photos: usize,
    pub(super) protected: usize,
    pub(super) unprotected: usize,
    pub(super) failed: usize,
    pub(super) faces: usize,
    /// Of this run, the model's loading not included.
    pub(super) seconds: f64,
    pub(super) results: &'a [PhotoReport],
}

impl<'a> Report<'a> {
    pub(super) fn new(
        method: String,
        mechanism: Option<String>,
        claims: Vec<String>,
        results: &'a [PhotoReport],
        seconds: f64,
    ) -> Self {
        let count = |status| results.iter().filter(|photo| photo.status == status).count();
        Self {
            method,
            mechanism,
            claims,
            photos: results.len(),
            protected: count(Status::Protected),
            unprotected: count(Status::Unprotected),
            failed: count(Status::Failed),
            faces: results.iter().map(|photo| photo.faces.len()).sum(),
            seconds,
            results,
        }
    }
}
