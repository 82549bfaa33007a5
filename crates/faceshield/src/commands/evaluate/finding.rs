//! Is there still a face, and where are its eyes, nose and mouth?

use std::path::Path;

use align::{Detector, DetectorConfig, Face};
use faces::RgbImage;
use metrics::{EYES, landmark_error};
use serde::Serialize;
use tch::Device;

use super::measure::{Intervals, Measured};

/// Landmarks: eyes, nose, corners of the mouth.
pub(super) type Points = [[f32; 2]; 5];

/// What a detector finds in protected photos.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Findings {
    /// Share of the photos in which a face is found, of those in whose original one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) face_found: Option<Measured>,
    /// Mean distance of its landmarks from those found in the original, in distances between the
    /// eyes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) landmark_shift: Option<Measured>,
    /// The same from where they are in truth; of synthetic data alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) landmark_error: Option<Measured>,
}

/// Finds the face of an aligned crop.
pub(super) struct Finder(Detector);

/// One photo's landmarks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    pub(super) person: usize,
    pub(super) before: Option<Points>,
    pub(super) after: Option<Points>,
    pub(super) truth: Option<Points>,
}

impl Finder {
    /// With the weights in `folder`, or else those that were fetched before; or why not.
    ///
    /// # Errors
    ///
    /// Weights that cannot be read.
    pub(super) fn load(
        folder: Option<&Path>,
        min_face: f64,
        device: Device,
    ) -> anyhow::Result<Result<Finder, String>> {
        let cache = crate::places::cache_dir();
        let folder = match folder {
            Some(folder) => folder.to_path_buf(),
            None if align::has_weights(&cache) => align::fetch_weights(&cache, &|_| ())?,
            None => {
                return Ok(Err("no detector's weights in the cache: `faceshield protect` and \
                    `faceshield align` fetch them, or give --detector-weights DIR"
                    .to_owned()));
            }
        };
        let config = DetectorConfig { min_face, ..DetectorConfig::default() };
        Ok(Ok(Finder(Detector::load(&folder, config, device)?)))
    }

    /// The face that the detector is surest of.
    ///
    /// # Errors
    ///
    /// libtorch refuses.
    pub(super) fn find(&self, picture: &RgbImage) -> anyhow::Result<Option<Points>> {
        let faces = self.0.detect(picture)?;
        let best = faces.iter().max_by(|a, b| a.score.total_cmp(&b.score));
        Ok(best.map(|face| face.landmarks.map(|point| point.map(|x| x as f32))))
    }

    /// The largest face of a photo.
    ///
    /// # Errors
    ///
    /// libtorch refuses.
    pub(super) fn largest(&self, photo: &RgbImage) -> anyhow::Result<Option<Face>> {
        let faces = self.0.detect(photo)?;
        let width = |face: &Face| face.bounds.width();
        Ok(faces.into_iter().max_by(|a, b| width(a).total_cmp(&width(b))))
    }
}

/// # Errors
///
/// Landmarks that are not finite, or eyes in one point.
pub(super) fn summary(
    looked: &[Looked],
    intervals: &Intervals,
) -> Result<Findings, metrics::Error> {
    let there: Vec<&Looked> = looked.iter().filter(|one| one.before.is_some()).collect();
    let people: Vec<usize> = there.iter().map(|one| one.person).collect();
    let found: Vec<f64> =
        there.iter().map(|one| f64::from(u8::from(one.after.is_some()))).collect();
    let distance = |one: &Looked, from: Option<Points>| match (one.after, from) {
        (Some(after), Some(from)) => landmark_error(&after, &from, EYES).map(Some),
        _ => Ok(None),
    };
    let distances = |from: fn(&Looked) -> Option<Points>| {
        let values = there.iter().map(|one| distance(one, from(one)));
        intervals.mean_of_some(&values.collect::<Result<Vec<_>, _>>()?, &people)
    };
    Ok(Findings {
        face_found: intervals.share(&found, &people)?,
        landmark_shift: distances(|one| one.before)?,
        landmark_error: distances(|one| one.truth)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_faces_found_before_count() {
        let at = |x: f32| Some([[x, 0.0], [x + 10.0, 0.0], [x, 9.0], [x, 20.0], [x, 20.0]]);
        let one = |person, before, after| Looked { person, before, after, truth: at(1.0) };
        let looked = [
            one(0, at(0.0), at(2.0)),
            one(1, at(0.0), None),
            one(1, at(0.0), at(0.0)),
            one(2, None, at(0.0)),
        ];
        let intervals = Intervals(metrics::Bootstrap::default());
        let findings = summary(&looked, &intervals).unwrap();
        let found = findings.face_found.unwrap();
        assert!((found.value() - 2.0 / 3.0).abs() < 1e-9 && found.n == 3);
        assert!((findings.landmark_shift.unwrap().value() - 0.1).abs() < 1e-6);
        assert!((findings.landmark_error.unwrap().value() - 0.1).abs() < 1e-6);
        assert!(summary(&[], &intervals).unwrap().face_found.is_none());
    }
}
