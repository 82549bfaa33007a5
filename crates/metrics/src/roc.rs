//! Receiver operating characteristic: what every threshold on a score accepts.

use crate::{Error, check};

/// Genuine and impostor pairs accepted at and above every distinct score.
///
/// Pairs of one score stand or fall together: a threshold lies at a score, never between
/// equal ones, so a score that is the same for all pairs tells nothing (AUC ½, EER ½).
///
/// ```
/// let roc = metrics::Roc::new(&[0.9, 0.8, 0.4], &[0.5, 0.1, 0.0, -0.2]).unwrap();
/// assert!((roc.auc() - 11.0 / 12.0).abs() < 1e-12); // 11 of 12 pairs in the right order
/// assert_eq!(roc.tar_at_far(0.0), 2.0 / 3.0);
/// ```
#[derive(Clone, Debug)]
pub struct Roc {
    genuine: usize,
    impostor: usize,
    /// (threshold, genuine accepted, impostors accepted) by falling threshold, all distinct.
    points: Vec<(f32, usize, usize)>,
}

impl Roc {
    /// From the scores of pairs of the same person (`genuine`) and of two people (`impostor`);
    /// a larger score means more alike.
    ///
    /// # Errors
    /// [`Error::Missing`] when a list is empty, [`Error::NotANumber`].
    pub fn new(genuine: &[f32], impostor: &[f32]) -> Result<Roc, Error> {
        check(genuine, impostor)?;
        let marked = genuine.iter().map(|&score| (score, true));
        let mut all: Vec<(f32, bool)> =
            marked.chain(impostor.iter().map(|&score| (score, false))).collect();
        all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut points: Vec<(f32, usize, usize)> = Vec::new();
        let (mut accepted, mut taken_in) = (0, 0);
        for (score, same) in all {
            *(if same { &mut accepted } else { &mut taken_in }) += 1;
            match points.last_mut() {
                // By value: 0 and −0 are one score.
                Some(last) if last.0 == score => (last.1, last.2) = (accepted, taken_in),
                _ => points.push((score, accepted, taken_in)),
            }
        }
        Ok(Roc { genuine: genuine.len(), impostor: impostor.len(), points })
    }

    /// Points of the curve from (0, 0) to (1, 1): the shares of impostor pairs (false accept
    /// rate) and of genuine pairs (true accept rate) that a threshold accepts.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let share = |&(_, tp, fp): &(f32, usize, usize)| self.rates(tp, fp);
        std::iter::once((0.0, 0.0)).chain(self.points.iter().map(share)).collect()
    }

    /// A threshold for point `place` of [`Roc::curve`], half way to the next lower score: what
    /// is a little below the lowest score accepted is more likely accepted than not.
    pub(crate) fn below(&self, place: usize) -> f32 {
        let score = |place: usize| self.points.get(place).map(|point| point.0);
        match (place.checked_sub(1).and_then(score), score(place)) {
            (Some(above), Some(below)) => above + 0.5 * (below - above),
            (Some(lowest), None) => lowest,
            (None, _) => f32::INFINITY,
        }
    }

    fn rates(&self, accepted: usize, taken_in: usize) -> (f64, f64) {
        (taken_in as f64 / self.impostor as f64, accepted as f64 / self.genuine as f64)
    }

    /// The area below the curve: the probability that a genuine pair scores above an impostor
    /// pair, equal scores counting half (Mann–Whitney's U over its largest value).
    pub fn auc(&self) -> f64 {
        // In whole numbers, twice the area: exact up to 2^127.
        let (mut twice, mut before) = (0u128, (0usize, 0usize));
        for &(_, tp, fp) in &self.points {
            twice += (fp - before.1) as u128 * (tp + before.0) as u128;
            before = (tp, fp);
        }
        twice as f64 / (2.0 * self.genuine as f64 * self.impostor as f64)
    }

    /// The equal error rate: where as large a share of impostors is accepted as of genuine
    /// pairs is refused, on the straight line between the two points around it.
    pub fn eer(&self) -> f64 {
        let mut before = (0.0, 0.0);
        for (far, tar) in self.curve().into_iter().skip(1) {
            if far + tar >= 1.0 {
                let (start, length) = (before.0 + before.1, far + tar - before.0 - before.1);
                let along = (1.0 - start) / length;
                return before.0 + along * (far - before.0);
            }
            before = (far, tar);
        }
        // The last point is (1, 1).
        1.0
    }

    /// The largest share of genuine pairs that a threshold accepts while it accepts a share
    /// `far` of the impostor pairs at most. With fewer than 1/`far` impostor pairs, it accepts
    /// none of them.
    pub fn tar_at_far(&self, far: f64) -> f64 {
        let allowed = |&&(_, tp, fp): &&(f32, usize, usize)| self.rates(tp, fp).0 <= far;
        let last = self.points.iter().take_while(allowed).last();
        last.map_or(0.0, |&(_, tp, fp)| self.rates(tp, fp).1)
    }
}

/// The lowest threshold (accept at and above it) that accepts a share `far` of the impostor pairs
/// at most: just above the first that must be refused, whatever genuine pairs score; infinite for
/// no pairs.
///
/// ```
/// let threshold = metrics::threshold_at_far(&[0.5, 0.1, 0.3, 0.2], 0.25);
/// assert!(threshold > 0.3 && threshold < 0.3001);
/// ```
pub fn threshold_at_far(impostor: &[f32], far: f64) -> f32 {
    let mut falling = impostor.to_vec();
    falling.sort_unstable_by(|a, b| b.total_cmp(a));
    let accepted = (far * falling.len() as f64) as usize;
    falling.get(accepted).map_or(f32::INFINITY, |score| score.next_up())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_curves() {
        // Of 16 pairs: 4, 4, 2 and a tie, 1 and a tie are in the right order.
        let roc = Roc::new(&[0.9, 0.8, 0.4, 0.3], &[0.5, 0.3, 0.1, 0.4]).unwrap();
        assert_eq!(roc.auc(), (4.0 + 4.0 + 2.5 + 1.5) / 16.0);
        assert_eq!(roc.tar_at_far(0.0), 0.5);
        assert_eq!(roc.tar_at_far(0.25), 0.5);
        assert_eq!(roc.tar_at_far(0.5), 0.75);
        assert_eq!(roc.tar_at_far(1.0), 1.0);
        let threshold = |far| threshold_at_far(&[0.5, 0.3, 0.1, 0.4], far);
        assert_eq!((threshold(0.0), threshold(0.5)), (0.5f32.next_up(), 0.3f32.next_up()));
        assert_eq!((threshold(1.0), threshold_at_far(&[], 0.5)), (f32::INFINITY, f32::INFINITY));
        // Between (¼, ½) and (½, ¾): FAR = 1 − TAR at (3/8, 5/8).
        assert_eq!(roc.eer(), 0.375);

        let apart = Roc::new(&[0.9, 0.8], &[0.1, 0.2]).unwrap();
        assert_eq!((apart.auc(), apart.eer(), apart.tar_at_far(1e-3)), (1.0, 0.0, 1.0));
        let inverted = Roc::new(&[0.1, 0.2], &[0.9, 0.8]).unwrap();
        assert_eq!((inverted.auc(), inverted.eer(), inverted.tar_at_far(1e-3)), (0.0, 1.0, 0.0));
        let blind = Roc::new(&[0.0, -0.0, 0.0], &[0.0; 5]).unwrap();
        assert_eq!((blind.auc(), blind.eer(), blind.tar_at_far(0.5)), (0.5, 0.5, 0.0));
        assert_eq!(blind.curve(), [(0.0, 0.0), (1.0, 1.0)]);
        // The best score belongs to an impostor: one in 5 is too many.
        let topped = Roc::new(&[0.5; 4], &[0.9, 0.1, 0.1, 0.1, 0.1]).unwrap();
        assert_eq!((topped.tar_at_far(0.1), topped.tar_at_far(0.2)), (0.0, 1.0));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Roc::new(&[], &[1.0]).unwrap_err(), Error::Missing("genuine"));
        assert_eq!(Roc::new(&[1.0], &[]).unwrap_err(), Error::Missing("impostor"));
        assert_eq!(Roc::new(&[1.0, f32::NAN], &[f32::NAN]).unwrap_err(), Error::NotANumber(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(1),
            ..ProptestConfig::with_cases(300)
        })]

        /// Against the definitions, pair by pair and threshold by threshold; few distinct scores,
        /// so that many are equal.
        #[test]
        fn equals_the_definitions(
            genuine in prop::collection::vec(-6i32..7, 1..30),
            impostor in prop::collection::vec(-8i32..5, 1..30),
            far in 0.0..1.0f64,
        ) {
            let float = |scores: &[i32]| scores.iter().map(|&s| s as f32 / 4.0).collect::<Vec<_>>();
            let (genuine, impostor) = (float(&genuine), float(&impostor));
            let roc = Roc::new(&genuine, &impostor).unwrap();
            let pairs = genuine.iter().flat_map(|g| impostor.iter().map(move |i| (g, i)));
            let wins: f64 = pairs
                .map(|(g, i)| if g > i { 1.0 } else if g == i { 0.5 } else { 0.0 })
                .sum();
            let n = (genuine.len() * impostor.len()) as f64;
            prop_assert!((roc.auc() - wins / n).abs() < 1e-12);

            let accepts = |scores: &[f32], t: f32| {
                scores.iter().filter(|&&s| s >= t).count() as f64 / scores.len() as f64
            };
            let thresholds = || genuine.iter().chain(&impostor).copied();
            let best = thresholds()
                .filter(|&t| accepts(&impostor, t) <= far)
                .map(|t| accepts(&genuine, t))
                .fold(0.0, f64::max);
            prop_assert_eq!(roc.tar_at_far(far), best);

            let threshold = threshold_at_far(&impostor, far);
            prop_assert!(accepts(&impostor, threshold) <= far);
            prop_assert!(accepts(&impostor, threshold.next_down()) > far);

            // No threshold does better at both errors, and one does not do worse at either.
            let eer = roc.eer();
            let worst = |t: f32| accepts(&impostor, t).max(1.0 - accepts(&genuine, t));
            prop_assert!(thresholds().all(|t| worst(t) >= eer - 1e-12));
            prop_assert!((0.0..=1.0).contains(&eer));
            let swapped = Roc::new(
                &impostor.iter().map(|s| -s).collect::<Vec<_>>(),
                &genuine.iter().map(|s| -s).collect::<Vec<_>>(),
            ).unwrap();
            prop_assert!((swapped.auc() - roc.auc()).abs() < 1e-12);
            prop_assert!((swapped.eer() - eer).abs() < 1e-12);
        }
    }
}
