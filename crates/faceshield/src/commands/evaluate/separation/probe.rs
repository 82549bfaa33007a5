//! What linear probes read from each part.

use metrics::Rows;
use serde::Serialize;

use super::super::attributes::{self, AttributesRead, COUNT};
use super::super::measure::{Intervals, Measured};
use super::super::sample::{Photo, Sample};
use super::super::setup::Training;
use super::look::{DESCRIPTIONS, JUDGED_NOISE, Look, TRAINED_NOISE, Table};

/// Photos that attribute probes are trained on, and photos that probes are judged on at most.
const TRAINED: usize = 1600;
const JUDGED: usize = 2000;

/// What linear probes read from one description of the photos.
#[derive(Debug, Serialize)]
pub(in super::super) struct Probe {
    pub(in super::super) features: &'static str,
    pub(in super::super) dimensions: usize,
    /// Share of photos whose person is read rightly, by a probe of the same people's other photos.
    pub(in super::super) identity: Option<Measured>,
    pub(in super::super) chance: Option<f64>,
    /// R² on people that the probe was not trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) attributes: Option<AttributesRead>,
}

/// What linear probes read from each description.
///
/// # Errors
///
/// A photo that cannot be read; libtorch refuses; numbers that nothing can be measured on.
pub(super) fn probes(
    look: &Look<'_>,
    sample: &Sample,
    training: &Training,
    intervals: &Intervals,
) -> anyhow::Result<Vec<Probe>> {
    let tested: Vec<&Photo> = sample.some(JUDGED).into_iter().map(|k| &sample.photos[k]).collect();
    let people: Vec<usize> = tested.iter().map(|photo| photo.person).collect();
    let test = look.descriptions(&tested, JUDGED_NOISE)?;
    let learnt = spread(&training.photos, TRAINED);
    let train = look.descriptions(&learnt, TRAINED_NOISE)?;
    let judged: Vec<usize> = (0..tested.len()).filter(|&k| people[k] >= training.first).collect();
    let values = |photos: &mut dyn Iterator<Item = &Photo>| -> Vec<f64> {
        let scene = photos.filter_map(|photo| photo.label.as_deref());
        scene.flat_map(|label| attributes::of(&label.scene)).collect()
    };
    let train_values = values(&mut learnt.iter().copied());
    let truth = values(&mut judged.iter().map(|&k| tested[k]));
    let of_judged: Vec<usize> = judged.iter().map(|&k| people[k]).collect();
    let mut probes = Vec::new();
    for ((name, train), test) in DESCRIPTIONS.into_iter().zip(&train).zip(&test) {
        let width = test.len() / tested.len();
        let identity = match metrics::identity_probe(Rows::new(test, width)?, &people) {
            // Of people with one photo each nothing can be learnt.
            Err(metrics::Error::AtLeast { .. }) => None,
            found => Some(found?),
        };
        let attributes = match learnt.is_empty() || truth.len() < COUNT {
            true => None,
            false => {
                let some: Table =
                    judged.iter().flat_map(|&k| &test[k * width..][..width]).copied().collect();
                let (train, test) = (Rows::new(train, width)?, Rows::new(&some, width)?);
                let read = metrics::attribute_probe(train, &train_values, test, &truth)?;
                attributes::judge(&read.predictions, &truth, &of_judged, intervals)?
            }
        };
        probes.push(Probe {
            features: name,
            dimensions: width,
            identity: match &identity {
                Some(found) => intervals.share(&found.hits, &found.people)?,
                None => None,
            },
            chance: identity.map(|found| found.chance),
            attributes,
        });
    }
    Ok(probes)
}

/// `most` of the photos at even distances, so that all people are among them.
fn spread(photos: &[Photo], most: usize) -> Vec<&Photo> {
    let count = photos.len().min(most);
    (0..count).map(|k| &photos[k * photos.len() / count]).collect()
}
