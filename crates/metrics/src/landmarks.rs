//! How far landmarks are from where they should be.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::{at_least, fits};

/// What an error is measured in, so that large faces do not weigh more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The distance between two of the true landmarks: with five points, the eyes are 0 and 1.
    /// Small for faces seen from the side.
    Between(usize, usize),
    /// A width in pixels, of the face's box for instance (Bulat and Tzimiropoulos 2017 take
    /// √(width · height) of the box).
    Width(f32),
}

/// The inter-ocular distance of landmarks that begin with the two eyes.
pub const EYES: Unit = Unit::Between(0, 1);

/// The mean distance of `found` landmarks from the `truth`, as a share of `unit` (the normalised
/// mean error; 0.05 of the inter-ocular distance is hardly seen).
///
/// # Shapes
/// Two lists of equally many points (x, y), in pixels of one picture.
///
/// # Errors
/// Lists of different lengths or empty, numbers that are not finite, a unit of length 0.
pub fn landmark_error(found: &[[f32; 2]], truth: &[[f32; 2]], unit: Unit) -> Result<f64, Error> {
    at_least("landmarks", truth.len(), 1)?;
    fits("landmarks", found.len(), truth.len())?;
    let broken = |points: (&[f32; 2], &[f32; 2])| {
        points.0.iter().chain(points.1).any(|number| !number.is_finite())
    };
    if let Some(place) = found.iter().zip(truth).position(broken) {
        return Err(Error::NotFinite { what: "landmark", place });
    }
    let unit = match unit {
        Unit::Width(width) => f64::from(width),
        Unit::Between(a, b) => {
            at_least("landmarks", truth.len(), a.max(b).saturating_add(1))?;
            distance(truth[a], truth[b])
        }
    };
    if !(unit > 0.0 && unit.is_finite()) {
        let (what, value) = ("the unit of landmark errors", unit.to_string());
        return Err(Error::Range { what, value, range: "a length above 0" });
    }
    let sum: f64 = found.iter().zip(truth).map(|(&a, &b)| distance(a, b)).sum();
    Ok(sum / truth.len() as f64 / unit)
}

fn distance(a: [f32; 2], b: [f32; 2]) -> f64 {
    libm::hypot(f64::from(a[0]) - f64::from(b[0]), f64::from(a[1]) - f64::from(b[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [[f32; 2]; 3] = [[10.0, 20.0], [40.0, 60.0], [0.0, 0.0]];

    #[test]
    fn errors_are_shares_of_the_unit() {
        let mut found = TRUTH;
        assert_eq!(landmark_error(&found, &TRUTH, EYES).unwrap(), 0.0);
        found[2] = [9.0, 12.0];
        // 15 pixels of one of three; the eyes are 50 apart.
        assert!((landmark_error(&found, &TRUTH, EYES).unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(landmark_error(&found, &TRUTH, Unit::Width(5.0)).unwrap(), 1.0);
    }

    #[test]
    fn errors_without_a_meaning_are_refused() {
        let error =
            |found: &[[f32; 2]], unit| landmark_error(found, &TRUTH, unit).unwrap_err().to_string();
        assert!(error(&TRUTH[..2], EYES).starts_with("2 landmarks do not fit"));
        assert!(error(&TRUTH, Unit::Between(0, 0)).contains("a length above 0"));
        assert!(error(&TRUTH, Unit::Width(f32::NAN)).contains("a length above 0"));
        assert!(error(&TRUTH, Unit::Between(0, 3)).starts_with("3 landmarks are too few"));
        assert!(error(&TRUTH, Unit::Between(0, usize::MAX)).contains("too few"));
        let broken = [[0.0; 2], [f32::INFINITY, 0.0], [0.0; 2]];
        assert!(error(&broken, EYES).starts_with("landmark 1 is or holds"));
    }
}
