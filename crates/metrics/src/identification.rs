//! Who is it? Ranks of a person among all enrolled people, and whether protection held.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::rows::places;
use crate::{Embeddings, Error, Genuine};

/// How people of the gallery are enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enrolment {
    /// A person's score is that of its most similar photo.
    Photos,
    /// A person's score is the cosine with the direction of the mean of its photos' embeddings.
    Means,
}

/// Where one probe's person stands among all enrolled people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The probe's row.
    pub probe: usize,
    /// Its person's label.
    pub person: usize,
    /// Other people with a higher score.
    pub better: usize,
    /// Other people with the same score.
    pub tied: usize,
}

impl Standing {
    /// The probability that the person is among the first `k` when people of one score are put
    /// in a random order: an embedding that is the same for everybody re-identifies k of n.
    pub fn within(&self, k: usize) -> f64 {
        let free = k.saturating_sub(self.better) as f64;
        (free / (self.tied + 1) as f64).min(1.0)
    }
}

/// Closed-set identification of probes in a gallery.
#[derive(Clone, Debug)]
pub struct Identification {
    standings: Vec<Standing>,
    left_out: usize,
    enrolled: usize,
}

impl Identification {
    /// Ranks the gallery's people for every probe. With `exclude_own`, the gallery's photo with
    /// the probe's own number is not there for that probe: whether protection hides the person,
    /// rather than the photo.
    ///
    /// Probes whose person has no (other) photo in the gallery are left out and counted. Means
    /// are of unit vectors; where a person's cancel, its score is 0.
    ///
    /// # Errors
    /// Embeddings of different widths, fewer than two people in the gallery, all probes left out.
    pub fn new(
        probes: &Embeddings,
        gallery: &Embeddings,
        enrolment: Enrolment,
        exclude_own: bool,
    ) -> Result<Identification, Error> {
        probes.comparable(gallery)?;
        let (labels, of_gallery) = places(gallery.people());
        crate::error::at_least("people in the gallery", labels.len(), 2)?;
        let mut photos = vec![Vec::new(); labels.len()];
        of_gallery.iter().enumerate().for_each(|(row, &place)| photos[place as usize].push(row));
        let sums = match enrolment {
            Enrolment::Photos => vec![],
            Enrolment::Means => photos.iter().map(|rows| sum(gallery, rows.iter())).collect(),
        };
        let stand = |probe: usize| {
            let (person, photo) = (probes.people()[probe], probes.photos()[probe]);
            let own = labels.binary_search(&person).ok()?;
            let there = |row: &&usize| !(exclude_own && gallery.photos()[**row] == photo);
            let score = |place: usize| -> Option<f32> {
                let rows = &photos[place];
                let left = rows.iter().filter(there);
                let cosine = |&row: &usize| probes.cosine(probe, gallery, row);
                match enrolment {
                    Enrolment::Photos => left.map(cosine).reduce(f32::max),
                    Enrolment::Means => match left.clone().count() {
                        0 => None,
                        n if n == rows.len() => Some(direction(probes.row(probe), &sums[place])),
                        _ => Some(direction(probes.row(probe), &sum(gallery, left))),
                    },
                }
            };
            let mine = score(own)?;
            let others = (0..labels.len()).filter(|&place| place != own).filter_map(score);
            let (mut better, mut tied) = (0, 0);
            for other in others {
                better += usize::from(other > mine);
                tied += usize::from(other == mine);
            }
            Some(Standing { probe, person, better, tied })
        };
        let rows: Vec<usize> = (0..probes.len()).collect();
        let standings: Vec<Standing> = rows.par_iter().filter_map(|&row| stand(row)).collect();
        crate::error::at_least("probes of people with a photo in the gallery", standings.len(), 1)?;
        let left_out = probes.len() - standings.len();
        Ok(Identification { standings, left_out, enrolled: labels.len() })
    }

    /// The standing of each probe that was not left out, by row.
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// Probes without a mate in the gallery.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// People in the gallery. Guessing has rank-1 rate 1/`enrolled`.
    pub fn enrolled(&self) -> usize {
        self.enrolled
    }

    /// The share of probes whose person is among the first `k`.
    pub fn rate(&self, k: usize) -> f64 {
        let sum: f64 = self.standings.iter().map(|standing| standing.within(k)).sum();
        sum / self.standings.len() as f64
    }

    /// The cumulative match characteristic: rates at 1, …, `most` (at most all people).
    pub fn cmc(&self, most: usize) -> Vec<f64> {
        (1..=most.min(self.enrolled)).map(|k| self.rate(k)).collect()
    }

    /// Each probe's [`Standing::within`] `k` and person, for [`crate::Bootstrap::mean`]: probes'
    /// people are drawn, the gallery stays as it is (its size is part of what is measured).
    pub fn hits(&self, k: usize) -> (Vec<f64>, Vec<usize>) {
        self.standings.iter().map(|standing| (standing.within(k), standing.person)).unzip()
    }
}

/// Whether protection held, for each probe that has a mate in the gallery: 1 where every cosine
/// with the photos of its person that `against` names lies below `threshold`, else 0; and the
/// probes' people. Its mean ([`crate::Bootstrap::mean`]) is the protection success rate.
///
/// The threshold belongs to the recogniser and to originals: [`crate::threshold_at_far`] at 10⁻³ of
/// the pairs among originals ([`crate::Pairs::within`]). Against one mean per person
/// ([`Embeddings::means`], [`Genuine::OtherPhotos`]) the threshold must come from originals
/// against means too, for cosines with means are higher.
///
/// # Errors
/// Embeddings of different widths; a threshold that is not finite, which no score would reach; no
/// probe with a mate.
pub fn protected(
    probes: &Embeddings,
    gallery: &Embeddings,
    against: Genuine,
    threshold: f32,
) -> Result<(Vec<f64>, Vec<usize>), Error> {
    probes.comparable(gallery)?;
    if !threshold.is_finite() {
        return Err(Error::Range {
            what: "the threshold",
            value: threshold.to_string(),
            range: "finite: too few impostor pairs for this false accept rate, or too many alike",
        });
    }
    let mut mates = std::collections::HashMap::<usize, Vec<usize>>::new();
    for (row, &person) in gallery.people().iter().enumerate() {
        mates.entry(person).or_default().push(row);
    }
    let mut found = (vec![], vec![]);
    for (k, (person, photo)) in probes.people().iter().zip(probes.photos()).enumerate() {
        let mates = mates.get(person).into_iter().flatten();
        let best = mates
            .filter(|&&row| against.takes(gallery.photos()[row] == *photo))
            .map(|&row| probes.cosine(k, gallery, row))
            .reduce(f32::max);
        if let Some(best) = best {
            found.0.push(if best < threshold { 1.0 } else { 0.0 });
            found.1.push(*person);
        }
    }
    crate::error::at_least("probes with such a photo in the gallery", found.0.len(), 1)?;
    Ok(found)
}

fn sum<'a>(gallery: &Embeddings, rows: impl Iterator<Item = &'a usize>) -> Vec<f64> {
    let mut sum = vec![0.0; gallery.width()];
    for &row in rows {
        sum.iter_mut().zip(gallery.row(row)).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sum
}

/// Cosine of a unit vector with a vector of any length, 0 with none. In single precision, so that
/// what is equal but for rounding (a mean of two and one of three photos that are all the same) is
/// a tie.
fn direction(unit: &[f32], other: &[f64]) -> f32 {
    let length = other.iter().map(|x| x * x).sum::<f64>().sqrt();
    let inner: f64 = unit.iter().zip(other).map(|(&a, b)| f64::from(a) * b).sum();
    if length > 0.0 { (inner / length) as f32 } else { 0.0 }
}

#[cfg(test)]
#[path = "identification_tests.rs"]
mod tests;
