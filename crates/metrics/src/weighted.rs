//! The ROC of people drawn with repetition, as a bootstrap needs it a thousand times.

use crate::{Error, Pairs};

/// Pairs sorted once by falling score, to be judged under many multiplicities of the people.
///
/// **People drawn twice.** A genuine pair of a person drawn w times counts w times: each copy
/// brings its own photos. A pair of two people drawn v and w times counts v·w times. Pairs of two
/// copies of one person are left out: as impostors they would be alike without error, and as
/// genuine pairs they would compare a photo with itself (the subsets bootstrap of Bolle, Ratha
/// and Pankanti 2004 for genuine pairs, the vertex bootstrap of Snijders and Borgatti 1999 for
/// pairs of people).
#[derive(Clone, Debug)]
pub struct Sweep {
    people: usize,
    /// The person of each genuine pair, by falling score.
    genuine: Vec<u32>,
    /// The people of each impostor pair, by falling score.
    impostors: Vec<[u32; 2]>,
    /// Where each step down the scores ends in the two lists: a step is a genuine score with all
    /// that are equal to it, or all impostor scores between two genuine ones. Within those, the
    /// curve is a straight line, and no threshold accepts more genuine pairs than the step's start.
    steps: Vec<[usize; 2]>,
}

/// What a [`crate::Roc`] says, of weighted pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// As [`crate::Roc::auc`].
    pub auc: f64,
    /// As [`crate::Roc::eer`].
    pub eer: f64,
    /// As [`crate::Roc::tar_at_far`].
    pub tar_at_far: f64,
}

impl Sweep {
    /// # Errors
    /// [`Error::NotANumber`].
    pub fn new(pairs: &Pairs) -> Result<Sweep, Error> {
        let people = pairs.people.len();
        let mut pairs = pairs.pairs.clone();
        match pairs.iter().filter(|pair| pair.score.is_nan()).count() {
            0 => pairs.sort_unstable_by(|a, b| b.score.total_cmp(&a.score)),
            count => return Err(Error::NotANumber(count)),
        }
        let (mut genuine, mut impostors, mut steps) = (vec![], vec![], vec![[0; 2]]);
        let mut last_had_genuine = true;
        for same_score in pairs.chunk_by(|a, b| a.score == b.score) {
            for pair in same_score {
                match pair.probe == pair.gallery {
                    true => genuine.push(pair.probe),
                    false => impostors.push([pair.probe, pair.gallery]),
                }
            }
            let end = [genuine.len(), impostors.len()];
            let has_genuine = steps.last().is_none_or(|last| last[0] < end[0]);
            match steps.last_mut() {
                Some(last) if !has_genuine && !last_had_genuine => *last = end,
                _ => steps.push(end),
            }
            last_had_genuine = has_genuine;
        }
        Ok(Sweep { people, genuine, impostors, steps })
    }

    /// People to draw from: the length of `times`.
    pub fn people(&self) -> usize {
        self.people
    }

    /// AUC, EER and TAR at `far` when person k (a place in [`Pairs::people`]) is drawn `times[k]`
    /// times; none where no genuine or no impostor pair is left, or `times` is too short.
    /// Linear in the number of pairs.
    pub fn rates(&self, times: &[u32], far: f64) -> Option<Rates> {
        if times.len() < self.people {
            return None;
        }
        let times: Vec<u64> = times.iter().map(|&times| u64::from(times)).collect();
        let once = |&person: &u32| times[person as usize];
        let both = |&[probe, gallery]: &[u32; 2]| times[probe as usize] * times[gallery as usize];
        // Accepted at and above the end of each step.
        let mut accepted = vec![(0u64, 0u64)];
        let mut above = (0, 0);
        for ends in self.steps.windows(2) {
            let [start, end] = [ends[0], ends[1]];
            above.0 += self.genuine[start[0]..end[0]].iter().map(once).sum::<u64>();
            above.1 += self.impostors[start[1]..end[1]].iter().map(both).sum::<u64>();
            accepted.push(above);
        }
        let all = above;
        if all.0 == 0 || all.1 == 0 {
            return None;
        }
        let share = |(tp, fp): (u64, u64)| (fp as f64 / all.1 as f64, tp as f64 / all.0 as f64);
        // Twice the area, exact.
        let (mut twice, mut eer, mut tar_at_far) = (0u128, None, 0.0);
        for ends in accepted.windows(2) {
            let [before, now] = [ends[0], ends[1]];
            twice += u128::from(now.1 - before.1) * u128::from(now.0 + before.0);
            let ((far_before, tar_before), (far_now, tar_now)) = (share(before), share(now));
            if far_now <= far {
                tar_at_far = tar_now;
            }
            if eer.is_none() && now != before && far_now + tar_now >= 1.0 {
                let length = far_now + tar_now - far_before - tar_before;
                let along = (1.0 - far_before - tar_before) / length;
                eer = Some(far_before + along * (far_now - far_before));
            }
        }
        let auc = twice as f64 / (2.0 * all.0 as f64 * all.1 as f64);
        Some(Rates { auc, eer: eer.unwrap_or(1.0), tar_at_far })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pair, Roc};
    use proptest::prelude::*;

    fn pairs(list: &[(i32, u32, u32)], people: usize) -> Pairs {
        let pair =
            |&(s, a, b): &(i32, u32, u32)| Pair { score: s as f32 / 4.0, probe: a, gallery: b };
        Pairs { people: (0..people).collect(), pairs: list.iter().map(pair).collect() }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(2),
            ..ProptestConfig::with_cases(500)
        })]

        /// A weight is as good as a repetition; a monotone map of the scores changes nothing, and
        /// the other way round (negative scores, exchanged kinds) the area is the same.
        #[test]
        fn weighted_is_repeated(
            list in prop::collection::vec((-6i32..7, 0u32..5, 0u32..5), 1..40),
            times in prop::collection::vec(0u32..4, 5),
            far in 0.0..1.0f64,
        ) {
            let (mut genuine, mut impostor) = (vec![], vec![]);
            for &(score, a, b) in &list {
                let (a_times, b_times) = (times[a as usize], times[b as usize]);
                let (list, count) = if a == b {
                    (&mut genuine, a_times)
                } else {
                    (&mut impostor, a_times * b_times)
                };
                list.extend((0..count).map(|_| score as f32 / 4.0));
            }
            let found = Sweep::new(&pairs(&list, 5)).unwrap().rates(&times, far);
            match Roc::new(&genuine, &impostor) {
                Err(_) => prop_assert_eq!(found, None),
                Ok(roc) => {
                    let found = found.unwrap();
                    prop_assert_eq!(found.auc, roc.auc());
                    prop_assert_eq!(found.tar_at_far, roc.tar_at_far(far));
                    prop_assert!((found.eer - roc.eer()).abs() < 1e-12);
                    let bent: Vec<_> = list.iter().map(|&(s, a, b)| (s.pow(3) + s, a, b)).collect();
                    let bent = Sweep::new(&pairs(&bent, 5)).unwrap().rates(&times, far).unwrap();
                    prop_assert_eq!(bent, found);
                    let exchanged = Roc::new(&impostor, &genuine).unwrap();
                    prop_assert!((exchanged.auc() - (1.0 - found.auc)).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn ones_are_the_sample_itself() {
        let list = pairs(&[(3, 0, 0), (2, 0, 1), (2, 1, 1), (0, 1, 0)], 2);
        let sweep = Sweep::new(&list).unwrap();
        let roc = list.roc().unwrap();
        let rates = sweep.rates(&[1, 1], 0.5).unwrap();
        assert_eq!((rates.auc, rates.eer), (roc.auc(), roc.eer()));
        assert_eq!(rates.tar_at_far, roc.tar_at_far(0.5));
        // One person alone has no impostors.
        assert_eq!(sweep.rates(&[2, 0], 0.5), None);
        assert_eq!(sweep.rates(&[2], 0.5), None);
    }
}
