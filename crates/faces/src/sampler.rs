//! Which images a rank sees, batch by batch: a pure function of
//! (seed, epoch, rank, world size, positions dealt out before).

use std::ops::Range;

use crate::Error;
use crate::random::{Use, mix, permutation};

/// Deals the images of an epoch out to the ranks.
///
/// The epoch's *global order* is a permutation of all images, drawn from (seed, epoch);
/// a *position* is a place in it. With `w` ranks and `b` images per rank and batch, batch
/// `k` of all ranks together is positions `k·w·b .. (k+1)·w·b`, and rank `r` takes
/// positions `(k·b + j)·w + r` for `j = 0 .. b`. One rank with batch `2b` therefore sees
/// the same global batches as two ranks with batch `b`.
///
/// **Dropped, not padded:** every rank sees exactly `⌊N/w⌋` of the `N` images, so at most
/// `w − 1` are left out of an epoch (the last of its order, others in every epoch) and none
/// is seen twice. The last batch of an epoch may be smaller than `b`, equally on all ranks;
/// with `drop_last` it is left out too, unless it is the only one. A data set smaller than
/// `w·b` so gives one batch of `⌊N/w⌋` images per rank.
///
/// **Other ranks half-way:** [`Sampler::after`] deals out what is left of an epoch when its
/// first positions have been dealt out already, by whatever ranks in whatever batches: batch 0
/// begins there, and the rules above hold for the positions that are left.
#[derive(Clone, Debug)]
pub struct Sampler {
    seed: u64,
    images: u32,
    batch_size: usize,
    rank: usize,
    world_size: usize,
    drop_last: bool,
    /// Positions of the epoch that were dealt out before batch 0.
    dealt: u64,
}

impl Sampler {
    /// A sampler over `images` images for one of `world_size` ranks.
    ///
    /// # Errors
    /// Fewer images than ranks, `rank` outside the world, `batch_size` 0.
    pub fn new(
        images: usize,
        batch_size: usize,
        seed: u64,
        rank: usize,
        world_size: usize,
        drop_last: bool,
    ) -> Result<Sampler, Error> {
        let wrong = |key, value: usize, expected: String| {
            Err(Error::Option { key, value: value.to_string(), expected })
        };
        if batch_size == 0 {
            return wrong("batch_size", batch_size, "at least 1".into());
        }
        if rank >= world_size {
            return wrong("rank", rank, format!("below the world size, {world_size}"));
        }
        let Ok(count) = u32::try_from(images) else {
            return wrong("images", images, format!("at most {}", u32::MAX));
        };
        if images < world_size {
            return Err(Error::TooFewImages { images, world_size });
        }
        Ok(Sampler { seed, images: count, batch_size, rank, world_size, drop_last, dealt: 0 })
    }

    /// The same for the rest of an epoch of which the first `dealt` positions have been dealt
    /// out. It may have no batch left.
    #[must_use]
    pub fn after(&self, dealt: u64) -> Sampler {
        Sampler { dealt, ..self.clone() }
    }

    /// Images that each rank sees in an epoch (or what is left of it), `⌊N/w⌋`, or fewer with
    /// `drop_last`.
    pub fn images_per_epoch(&self) -> usize {
        let left = u64::from(self.images).saturating_sub(self.dealt);
        let share = left as usize / self.world_size;
        if self.drop_last && share > self.batch_size {
            share - share % self.batch_size
        } else {
            share
        }
    }

    /// Batches of an epoch: the same number on all ranks and in all epochs, at least 1; or what
    /// is left of them.
    pub fn batches_per_epoch(&self) -> u64 {
        self.images_per_epoch().div_ceil(self.batch_size) as u64
    }

    /// The epoch's global order: position → image.
    pub fn order(&self, epoch: u64) -> Vec<u32> {
        permutation(mix(Use::Order, &[self.seed, epoch]), self.images)
    }

    /// The positions of this rank's batch number `batch`, ascending; none beyond the last.
    pub fn positions(&self, batch: u64) -> impl Iterator<Item = u64> + use<> {
        let (world, first) = (self.world_size as u64, self.dealt.saturating_add(self.rank as u64));
        self.steps(batch).map(move |step| first + step * world)
    }

    /// This rank's own count of images, `k·b + j`, for the batch.
    fn steps(&self, batch: u64) -> Range<u64> {
        let (size, end) = (self.batch_size as u64, self.images_per_epoch() as u64);
        let first = batch.saturating_mul(size).min(end);
        first..first.saturating_add(size).min(end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn sampler(n: usize, b: usize, seed: u64, rank: usize, world: usize, drop: bool) -> Sampler {
        Sampler::new(n, b, seed, rank, world, drop).unwrap()
    }

    /// All images that a rank sees in an epoch, batch by batch.
    fn batches(sampler: &Sampler, epoch: u64) -> Vec<Vec<u32>> {
        let order = sampler.order(epoch);
        let image = |position: u64| order[position as usize];
        (0..sampler.batches_per_epoch())
            .map(|k| sampler.positions(k).map(image).collect())
            .collect()
    }

    // The seed of proptest's cases is fixed, so these cannot fail by chance.
    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(1),
            ..ProptestConfig::with_cases(200)
        })]

        #[test]
        fn ranks_share_an_epoch_out(
            n in 1usize..400, b in 1usize..40, world in 1usize..12, seed: u64, epoch in 0u64..1000
        ) {
            prop_assume!(n >= world);
            let ranks: Vec<_> =
                (0..world).map(|r| batches(&sampler(n, b, seed, r, world, false), epoch)).collect();
            let mut seen = BTreeSet::new();
            for batch in ranks.iter().flatten() {
                prop_assert!(!batch.is_empty() && batch.len() <= b);
                for &image in batch {
                    prop_assert!((image as usize) < n);
                    prop_assert!(seen.insert(image), "image {} twice", image);
                }
            }
            prop_assert!(seen.len() + world > n, "{} of {} images seen", seen.len(), n);
            let lengths = |rank: &Vec<Vec<u32>>| rank.iter().map(Vec::len).collect::<Vec<_>>();
            prop_assert!(ranks.iter().all(|rank| lengths(rank) == lengths(&ranks[0])));
        }

        /// The same global batches whether w ranks take b each or one rank takes w·b; and
        /// interleaved, so that even the order within the batch is the same.
        #[test]
        fn global_batches_do_not_depend_on_the_split(
            n in 1usize..400, b in 1usize..20, world in 1usize..8, seed: u64, epoch in 0u64..1000
        ) {
            prop_assume!(n >= world);
            let alone = batches(&sampler(n, b * world, seed, 0, 1, false), epoch);
            let ranks: Vec<_> =
                (0..world).map(|r| batches(&sampler(n, b, seed, r, world, false), epoch)).collect();
            for (k, first) in ranks[0].iter().enumerate() {
                let joined: Vec<u32> =
                    (0..first.len()).flat_map(|j| ranks.iter().map(move |r| r[k][j])).collect();
                prop_assert_eq!(&joined[..], &alone[k][..joined.len()]);
                prop_assert!(alone[k].len() - joined.len() < world);
            }
        }

        /// Stopped again and again in the middle of an epoch, each time to go on with other ranks
        /// and batches: no image twice, and fewer than the last ranks are many left out.
        #[test]
        fn any_sequence_of_world_sizes_deals_an_epoch_out_once(
            n in 12usize..400,
            legs in prop::collection::vec((1usize..12, 1usize..20, 0u64..6), 1..6),
            seed: u64,
        ) {
            let order = sampler(n, 1, seed, 0, 1, false).order(3);
            let mut seen = BTreeSet::new();
            let (mut dealt, mut left_out) = (0, n);
            for (number, &(world, b, batches)) in legs.iter().enumerate() {
                let ranks: Vec<_> = (0..world)
                    .map(|r| sampler(n, b, seed, r, world, false).after(dealt))
                    .collect();
                let all = ranks[0].batches_per_epoch();
                let to_the_end = number + 1 == legs.len() || batches >= all;
                let batches = if to_the_end { all } else { batches };
                for position in ranks.iter().flat_map(|r| (0..batches).flat_map(|k| r.positions(k))) {
                    prop_assert!(seen.insert(order[position as usize]), "{} twice", position);
                }
                if to_the_end {
                    left_out = world - 1;
                    break;
                }
                dealt += batches * (world * b) as u64;
                // Without a gap: all up to there, and nothing beyond.
                prop_assert_eq!(seen.len() as u64, dealt);
            }
            prop_assert!(seen.len() + left_out >= n, "{} of {} images seen", seen.len(), n);
        }

        #[test]
        fn pure_and_different_per_epoch(n in 30usize..200, seed: u64, epoch in 0u64..1000) {
            let one = sampler(n, 4, seed, 1, 3, false);
            let two = sampler(n, 4, seed, 1, 3, false);
            two.order(epoch + 5); // asking for other epochs leaves no trace
            prop_assert_eq!(batches(&one, epoch), batches(&two, epoch));
            prop_assert_ne!(one.order(epoch), one.order(epoch + 1));
            prop_assert_ne!(one.order(epoch), sampler(n, 4, seed ^ 1, 1, 3, false).order(epoch));
        }

        #[test]
        fn drop_last_keeps_full_batches_only(
            n in 1usize..400, b in 1usize..40, world in 1usize..8
        ) {
            prop_assume!(n >= world);
            let all = batches(&sampler(n, b, 0, 0, world, true), 0);
            prop_assert!(!all.is_empty());
            prop_assert!(all.len() == 1 || all.iter().all(|batch| batch.len() == b));
        }
    }

    #[test]
    fn a_small_data_set_still_has_a_batch() {
        let sampler = sampler(25, 64, 0, 1, 2, false);
        assert_eq!(sampler.batches_per_epoch(), 1);
        assert_eq!(sampler.positions(0).count(), 12);
        assert_eq!(sampler.positions(1).count(), 0);
        assert_eq!(sampler.positions(u64::MAX).count(), 0);
        // Fewer left than ranks, or none, or a data set that has shrunk.
        for dealt in [24, 25, 99] {
            assert_eq!(sampler.after(dealt).batches_per_epoch(), 0);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(matches!(Sampler::new(3, 1, 0, 0, 4, false), Err(Error::TooFewImages { .. })));
        assert!(Sampler::new(3, 0, 0, 0, 1, false).is_err());
        assert!(Sampler::new(3, 1, 0, 1, 1, false).is_err());
    }
}
