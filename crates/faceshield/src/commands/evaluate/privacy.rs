//! What an attacker finds out: are two photos of one person, and whose photo is this?

use std::collections::BTreeMap;

use metrics::{Embeddings, Enrolment, Genuine, Identification, Pairs, Roc, Rows, Sweep};
use serde::Serialize;

use super::measure::{Intervals, Measured};

/// The false accept rate of thresholds and TAR.
pub(super) const FAR: f64 = 1e-3;
/// Impostor pairs that a bootstrap goes over again and again, and in a sweep.
pub(super) const PAIRS: usize = 200_000;
pub(super) const SWEEP_PAIRS: usize = 50_000;
/// Impostor pairs that a threshold is taken from.
const THRESHOLD_PAIRS: usize = 2_000_000;
/// Points of a curve in the report.
const POINTS: usize = 60;

/// What an attacker makes of photos, row after row.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) width: usize,
    pub(super) data: Vec<f32>,
    /// Each row's photo and person.
    pub(super) photos: Vec<usize>,
    pub(super) people: Vec<usize>,
}

impl Seen {
    pub(super) fn add(&mut self, row: &[f32], photo: usize, person: usize) {
        self.width = row.len();
        self.data.extend_from_slice(row);
        self.photos.push(photo);
        self.people.push(person);
    }

    pub(super) fn row(&self, k: usize) -> &[f32] {
        &self.data[k * self.width..][..self.width]
    }

    fn embeddings(&self) -> Result<Embeddings, metrics::Error> {
        Embeddings::new(Rows::new(&self.data, self.width)?, &self.people)?.with_photos(&self.photos)
    }

    fn some(&self, rows: &[usize]) -> Result<Embeddings, metrics::Error> {
        let mut some = Seen::default();
        rows.iter().for_each(|&k| some.add(self.row(k), self.photos[k], self.people[k]));
        some.embeddings()
    }
}

/// Originals as an attacker knows them.
pub(super) struct Gallery {
    seen: Seen,
    all: Embeddings,
    /// Scores from here on mean one person.
    pub(super) threshold: f32,
}

/// What an attacker reaches against a protection.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Privacy {
    pub(super) attacker: String,
    /// What a protected photo is compared with: its own original, or originals of other photos
    /// of the person.
    pub(super) against: Genuine,
    /// Share of the photos that are below the attacker's threshold with all of these.
    pub(super) success: Option<Measured>,
    /// Mean cosine of the protected photos with these.
    pub(super) cosine: Option<Measured>,
    pub(super) auc: Measured,
    pub(super) eer: Measured,
    /// At a FAR of 0.1 %.
    pub(super) tar_at_far: Measured,
    /// Share of the photos whose person comes first among all people, one original of each.
    pub(super) rank1: Option<Measured>,
    /// The same with the mean of all originals of each.
    pub(super) rank1_enrolled: Option<Measured>,
    /// (FAR, TAR), some points of the curve.
    pub(super) roc: Vec<[f64; 2]>,
}

impl Gallery {
    /// # Errors
    ///
    /// Embeddings without a direction; photos of one person only.
    pub(super) fn new(seen: Seen) -> Result<Gallery, metrics::Error> {
        let all = seen.embeddings()?;
        let pairs = Pairs::between(&all, &all, Genuine::OwnPhoto, THRESHOLD_PAIRS)?;
        let threshold = metrics::threshold_at_far(&pairs.scores(false), FAR);
        Ok(Gallery { seen, all, threshold })
    }

    /// What is reached with `probes` against `against`; none where nobody has another photo.
    ///
    /// # Errors
    ///
    /// Embeddings without a direction; probes of one person only.
    pub(super) fn attack(
        &self,
        attacker: &str,
        probes: &Seen,
        against: Genuine,
        most_pairs: usize,
        intervals: &Intervals,
    ) -> Result<Option<Privacy>, metrics::Error> {
        let embeddings = probes.embeddings()?;
        let pairs = match Pairs::between(&embeddings, &self.all, against, most_pairs) {
            Err(metrics::Error::Missing("genuine")) => return Ok(None),
            pairs => pairs?,
        };
        let sweep = Sweep::new(&pairs)?;
        let [auc, eer, tar] = intervals.0.intervals(sweep.people(), |times| {
            let rates = sweep.rates(times, FAR)?;
            Some([rates.auc, rates.eer, rates.tar_at_far])
        })?;
        let genuine = pairs.pairs().iter().filter(|pair| pair.probe == pair.gallery);
        let (scores, of_scores): (Vec<f64>, Vec<usize>) =
            genuine.map(|pair| (f64::from(pair.score), pair.probe as usize)).unzip();
        let n = scores.len();
        let measured = |interval| Measured { interval, n };
        let success = match self.threshold.is_finite() {
            true => {
                let (held, people) =
                    metrics::protected(&embeddings, &self.all, against, self.threshold)?;
                intervals.share(&held, &people)?
            }
            false => None,
        };
        let (hits, people) = self.one_of_each(probes, against)?;
        let other = against == Genuine::OtherPhotos;
        let enrolled = Identification::new(&embeddings, &self.all, Enrolment::Means, other)?;
        let (means, of_means) = enrolled.hits(1);
        Ok(Some(Privacy {
            attacker: attacker.to_owned(),
            against,
            success,
            cosine: intervals.mean(&scores, &of_scores)?,
            auc: measured(auc),
            eer: measured(eer),
            tar_at_far: measured(tar),
            rank1: intervals.share(&hits, &people)?,
            rank1_enrolled: intervals.share(&means, &of_means)?,
            roc: thinned(&pairs.roc()?),
        }))
    }

    /// Rank-1 identification with one original of each person: in round j their j-th, so that
    /// every probe is tried once, against its own or the next photo of its person.
    fn one_of_each(
        &self,
        probes: &Seen,
        against: Genuine,
    ) -> Result<(Vec<f64>, Vec<usize>), metrics::Error> {
        let mut of_people = BTreeMap::<usize, Vec<usize>>::new();
        for (row, &person) in self.seen.people.iter().enumerate() {
            of_people.entry(person).or_default().push(row);
        }
        let probe_of: BTreeMap<usize, usize> =
            probes.photos.iter().enumerate().map(|(row, &photo)| (photo, row)).collect();
        let rounds = of_people.values().map(Vec::len).max().unwrap_or(0);
        let mut found = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let there = of_people.values().filter(|rows| rows.len() > round);
            let gallery: Vec<usize> = there.clone().map(|rows| rows[round]).collect();
            let probe = |rows: &Vec<usize>| {
                let row = match against {
                    Genuine::OtherPhotos if rows.len() < 2 => return None,
                    Genuine::OtherPhotos => rows[(round + 1) % rows.len()],
                    _ => rows[round],
                };
                probe_of.get(&self.seen.photos[row]).copied()
            };
            let tried: Vec<usize> = there.filter_map(probe).collect();
            if gallery.len() < 2 || tried.is_empty() {
                continue;
            }
            let (gallery, tried) = (self.seen.some(&gallery)?, probes.some(&tried)?);
            let standings = Identification::new(&tried, &gallery, Enrolment::Photos, false)?;
            let (hits, people) = standings.hits(1);
            found.0.extend(hits);
            found.1.extend(people);
        }
        Ok(found)
    }
}

/// Points of the curve at false accept rates whose distance grows with their size, so that
/// small ones are seen, too.
fn thinned(roc: &Roc) -> Vec<[f64; 2]> {
    let rounded = |x: f64| (x * 1e5).round() / 1e5;
    let at = |k: usize| {
        let far = (k as f64 / POINTS as f64).powi(3);
        [rounded(far), rounded(roc.tar_at_far(far))]
    };
    (0..=POINTS).map(at).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use metrics::Bootstrap;

    /// Five people in directions of their own, three photos each near theirs.
    fn people() -> Seen {
        let mut seen = Seen::default();
        for photo in 0..15 {
            let mut row = [0.0; 6];
            row[photo / 3] = 1.0;
            row[5] = 0.1 * (photo % 3) as f32;
            seen.add(&row, photo, photo / 3);
        }
        seen
    }

    #[test]
    fn nothing_done_is_no_protection_and_one_face_for_all_is_chance() {
        let gallery = Gallery::new(people()).unwrap();
        let intervals = Intervals(Bootstrap { resamples: 200, ..Bootstrap::default() });
        let mut same = Seen::default();
        (0..15).for_each(|photo| same.add(&[1.0; 6], photo, photo / 3));
        for against in [Genuine::OwnPhoto, Genuine::OtherPhotos] {
            let attack =
                |probes: &Seen| gallery.attack("a", probes, against, PAIRS, &intervals).unwrap();
            let open = attack(&people()).unwrap();
            assert_eq!((open.auc.value(), open.eer.value()), (1.0, 0.0));
            for (share, expected) in
                [(open.success, 0.0), (open.rank1, 1.0), (open.rank1_enrolled, 1.0)]
            {
                let share = share.unwrap();
                assert_eq!((share.value(), share.n), (expected, 15));
            }
            let hidden = attack(&same).unwrap();
            assert!((hidden.auc.value() - 0.5).abs() < 1e-9, "{:?}", hidden.auc);
            assert!((hidden.rank1.unwrap().value() - 0.2).abs() < 0.07, "{:?}", hidden.rank1);
            assert_eq!(hidden.roc.first(), Some(&[0.0, 0.0]));
            assert_eq!(hidden.roc.last(), Some(&[1.0, 1.0]));
        }
        // Where nobody has another photo, nothing is said of other photos.
        let mut alone = Seen::default();
        (0..5).for_each(|k| alone.add(people().row(3 * k), k, k));
        let gallery = Gallery::new(alone.clone()).unwrap();
        let attack = |against| gallery.attack("a", &alone, against, PAIRS, &intervals).unwrap();
        assert!(attack(Genuine::OtherPhotos).is_none());
        assert_eq!(attack(Genuine::OwnPhoto).unwrap().auc.value(), 1.0);
    }
}
