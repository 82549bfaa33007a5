//! Are two photos of one person? Scores of pairs of photos.

use rayon::prelude::*;

use crate::rows::places;
use crate::{Embeddings, Error, Roc};

/// Probes that a thread scores at once.
const BLOCK: usize = 64;

/// Which pairs of the same person count as genuine, for probes against a gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Genuine {
    /// A photo against the gallery's photo of the same number: is a protected photo still linked
    /// with its own original? The attacker has the original.
    OwnPhoto,
    /// A photo against the person's other photos: is the person still recognised? The attacker
    /// has photos of the person, but not this one.
    OtherPhotos,
    /// Both.
    AllPhotos,
}

impl Genuine {
    pub(crate) fn takes(self, own: bool) -> bool {
        match self {
            Genuine::OwnPhoto => own,
            Genuine::OtherPhotos => !own,
            Genuine::AllPhotos => true,
        }
    }
}

/// A pair of photos.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Cosine of the embeddings.
    pub score: f32,
    /// The probe's person, a place in [`Pairs::people`].
    pub probe: u32,
    /// The gallery photo's person; the same for a genuine pair.
    pub gallery: u32,
}

/// Genuine and impostor pairs with their scores.
#[derive(Clone, Debug)]
pub struct Pairs {
    pub(crate) people: Vec<usize>,
    pub(crate) pairs: Vec<Pair>,
}

impl Pairs {
    /// Every probe against the gallery (protected photos against originals, for instance).
    /// Genuine pairs are those that `genuine` says; every pair of two people is an impostor pair.
    ///
    /// Where there are more than `most` impostor pairs, about `most` are kept, chosen by a fixed
    /// function of the two places, before they are scored: memory is 12 bytes for each pair kept,
    /// twice while they are gathered.
    ///
    /// # Errors
    /// Embeddings of different widths; no pair of one of the kinds.
    pub fn between(
        probes: &Embeddings,
        gallery: &Embeddings,
        genuine: Genuine,
        most: usize,
    ) -> Result<Pairs, Error> {
        probes.comparable(gallery)?;
        let own = |k: usize, j: usize| probes.photos()[k] == gallery.photos()[j];
        Pairs::score(probes, gallery, most, |_| 0, |k, j| genuine.takes(own(k, j)))
    }

    /// All pairs of different photos of one set, each once.
    ///
    /// # Errors
    /// No pair of one of the kinds.
    pub fn within(photos: &Embeddings, most: usize) -> Result<Pairs, Error> {
        let number = |k: usize| photos.photos()[k];
        Pairs::score(photos, photos, most, |k| k + 1, |k, j| number(k) != number(j))
    }

    fn score(
        probes: &Embeddings,
        gallery: &Embeddings,
        most: usize,
        start: impl Fn(usize) -> usize + Sync,
        takes: impl Fn(usize, usize) -> bool + Sync,
    ) -> Result<Pairs, Error> {
        let (people, of_rows) = places(&[probes.people(), gallery.people()].concat());
        let (of_probes, of_gallery) = of_rows.split_at(probes.len());
        let keep = Thinning::new(of_probes, of_gallery, &start, most);
        let rows: Vec<usize> = (0..probes.len()).collect();
        let blocks: Vec<Vec<Pair>> = rows
            .par_chunks(BLOCK)
            .map(|block| {
                let mut found = vec![];
                for &k in block {
                    let probe = of_probes[k];
                    for (j, &gallery_person) in of_gallery.iter().enumerate().skip(start(k)) {
                        let same = probe == gallery_person;
                        if if same { takes(k, j) } else { keep.keeps(k, j) } {
                            let score = probes.cosine(k, gallery, j);
                            found.push(Pair { score, probe, gallery: gallery_person });
                        }
                    }
                }
                found
            })
            .collect();
        let pairs = Pairs { people, pairs: blocks.concat() };
        for (kind, genuine) in [("genuine", true), ("impostor", false)] {
            if !pairs.pairs.iter().any(|pair| (pair.probe == pair.gallery) == genuine) {
                return Err(Error::Missing(kind));
            }
        }
        Ok(pairs)
    }

    /// Labels of all people, rising: the clusters that [`crate::Bootstrap`] draws.
    pub fn people(&self) -> &[usize] {
        &self.people
    }

    /// All pairs, genuine and impostor, by probe and gallery row.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The scores of the genuine, or of the impostor pairs.
    pub fn scores(&self, genuine: bool) -> Vec<f32> {
        let kind = |pair: &&Pair| (pair.probe == pair.gallery) == genuine;
        self.pairs.iter().filter(kind).map(|pair| pair.score).collect()
    }

    /// How well the scores tell the two kinds apart.
    ///
    /// # Errors
    /// None in practice: there are pairs of both kinds, and their scores are numbers.
    pub fn roc(&self) -> Result<Roc, Error> {
        Roc::new(&self.scores(true), &self.scores(false))
    }
}

/// Which of too many impostor pairs are kept.
struct Thinning {
    /// The largest hash of a pair that is kept.
    up_to: u64,
}

impl Thinning {
    fn new(
        probes: &[u32],
        gallery: &[u32],
        start: &impl Fn(usize) -> usize,
        most: usize,
    ) -> Thinning {
        // Within a set, `start` leaves out half of the pairs; between sets, none.
        let all: f64 =
            (0..probes.len()).map(|k| gallery.len().saturating_sub(start(k)) as f64).sum();
        let mut counts = std::collections::HashMap::<u32, f64>::new();
        gallery.iter().for_each(|&person| *counts.entry(person).or_default() += 1.0);
        let same: f64 = probes.iter().filter_map(|person| counts.get(person)).sum();
        let halved = all / (probes.len() * gallery.len()) as f64;
        let impostors = all - same * halved;
        let share = most as f64 / impostors.max(1.0);
        // A float beyond the range becomes the largest integer: all are kept.
        Thinning { up_to: (share * 2f64.powi(64)) as u64 }
    }

    /// SplitMix64 of the two places (Steele, Lea and Flood 2014).
    fn keeps(&self, probe: usize, gallery: usize) -> bool {
        let mut z = (probe as u64) << 32 | gallery as u64;
        for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(multiplier);
            z ^= z >> 29;
        }
        z <= self.up_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rows;

    fn plane(angles: &[f32], people: &[usize]) -> Embeddings {
        let data: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
        Embeddings::new(Rows::new(&data, 2).unwrap(), people).unwrap()
    }

    #[test]
    fn own_and_other_photos_are_told_apart() {
        let originals = plane(&[0.0, 0.3, 1.0, 1.4], &[5, 5, 8, 8]);
        let protected = plane(&[0.1, 0.5, 1.0, 1.9], &[5, 5, 8, 8]);
        let scores = |genuine| {
            let pairs = Pairs::between(&protected, &originals, genuine, usize::MAX).unwrap();
            assert_eq!((pairs.people(), pairs.scores(false).len()), ([5, 8].as_slice(), 8));
            pairs.scores(true).iter().map(|s| (s.acos() * 10.0).round() / 10.0).collect::<Vec<_>>()
        };
        assert_eq!(scores(Genuine::OwnPhoto), [0.1, 0.2, 0.0, 0.5]);
        assert_eq!(scores(Genuine::OtherPhotos), [0.2, 0.5, 0.4, 0.9]);
        assert_eq!(scores(Genuine::AllPhotos).len(), 8);
        let within = Pairs::within(&originals, usize::MAX).unwrap();
        assert_eq!((within.scores(true).len(), within.scores(false).len()), (2, 4));
        assert_eq!(within.roc().unwrap().auc(), 1.0);
    }

    #[test]
    fn too_many_impostors_are_thinned_and_genuine_pairs_are_not() {
        let n = 300;
        let people: Vec<usize> = (0..n).map(|k| k / 10).collect();
        let set = plane(&(0..n).map(|k| k as f32).collect::<Vec<_>>(), &people);
        let pairs = Pairs::within(&set, 5000).unwrap();
        assert_eq!(pairs.scores(true).len(), 30 * 45);
        let kept = pairs.scores(false).len();
        // Binomial, standard deviation 66: this count is fixed, not drawn.
        assert!(kept.abs_diff(5000) < 300, "{kept}");
        // All, and no more, when there is room.
        assert_eq!(Pairs::within(&set, 43_500).unwrap().scores(false).len(), 300 * 299 / 2 - 1350);
        // Every pair of people still meets: nothing resonates with ten photos a person.
        let mut met: Vec<_> = pairs.pairs().iter().map(|p| (p.probe, p.gallery)).collect();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met.len(), 30 + 30 * 29 / 2);
    }

    #[test]
    fn sets_without_pairs_are_refused() {
        let one = plane(&[0.0, 1.0], &[1, 1]);
        let two = plane(&[0.0, 1.0], &[1, 2]);
        assert_eq!(Pairs::within(&one, 9).unwrap_err(), Error::Missing("impostor"));
        assert_eq!(Pairs::within(&two, 9).unwrap_err(), Error::Missing("genuine"));
        let wide = Embeddings::new(Rows::new(&[1.0; 3], 3).unwrap(), &[1]).unwrap();
        let error = Pairs::between(&one, &wide, Genuine::AllPhotos, 9).unwrap_err();
        assert!(error.to_string().starts_with("3 numbers in a gallery's embedding do not fit"));
    }
}
