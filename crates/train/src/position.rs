//! Where a run stands in its epochs, and how far it goes.

use crate::Config;
use crate::checkpoint::Manifest;

/// Where a run stands: the number of the next step, its epoch and its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) step: u64,
    pub(crate) epoch: u64,
    pub(crate) batch: u64,
    /// Items of the epoch's order that were dealt out before its batch 0: not 0 where a run
    /// has gone on with other ranks or batches in the middle of this epoch.
    pub(crate) dealt: u64,
}

impl Position {
    /// The position of a checkpoint in this run, which may have other ranks and batches: the
    /// items of the epoch that have been dealt out stay so, and batches are counted from there.
    /// With it, what keeps this run from being bitwise equal to an undisturbed one.
    pub(crate) fn resumed(
        manifest: &Manifest,
        config: &Config,
        world_size: usize,
    ) -> (Self, Vec<String>) {
        let &Manifest { step, epoch, batch, dealt, .. } = manifest;
        let mut position = Self { step, epoch, batch, dealt };
        let mut changes = Vec::new();
        let mut compare = |what: &str, theirs: u64, ours: u64| {
            if theirs != ours {
                changes.push(format!("{what} {ours} instead of {theirs}"));
            }
        };
        compare("world size", manifest.world_size as u64, world_size as u64);
        compare("batch_size", manifest.batch_size as u64, config.batch_size as u64);
        compare("seed", manifest.seed, config.seed);
        // Of all ranks together: where this stays, so do the batches.
        let items = |ranks: usize, batch: usize| (ranks as u64).saturating_mul(batch as u64);
        let theirs = items(manifest.world_size, manifest.batch_size);
        if theirs != items(world_size, config.batch_size) {
            position.dealt = dealt.saturating_add(batch.saturating_mul(theirs));
            position.batch = 0;
        }
        (position, changes)
    }

    fn next_epoch(self) -> Self {
        Self { epoch: self.epoch + 1, batch: 0, dealt: 0, ..self }
    }
}

/// The way of a run from where it starts to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    position: Position,
    /// Batches of a whole epoch.
    per_epoch: u64,
    /// Batches of this epoch, counted from where its batch 0 is.
    in_epoch: u64,
    /// Steps of the run: what the learning rate's schedule stretches over.
    total: u64,
    /// Steps after which this run ends.
    end: u64,
}

impl Course {
    /// From `position` to the end of the run, or until `max_steps` steps are done in all.
    ///
    /// # Arguments
    /// * `[epochs, steps]` - the run's epochs, and its steps where it has fewer than these; 0:
    ///   it has not.
    /// * `batches_after` - batches that an epoch has left after so many dealt items.
    pub(crate) fn new(
        mut position: Position,
        batches_after: impl Fn(u64) -> u64,
        [epochs, steps]: [u64; 2],
        max_steps: Option<u64>,
    ) -> Self {
        let per_epoch = batches_after(0);
        let mut in_epoch = batches_after(position.dealt);
        if position.batch >= in_epoch {
            // Nothing is left that would make a batch for every rank.
            (position, in_epoch) = (position.next_epoch(), per_epoch);
        }
        let left = match epochs.checked_sub(position.epoch + 1) {
            Some(later) => {
                (in_epoch - position.batch).saturating_add(later.saturating_mul(per_epoch))
            }
            None => 0,
        };
        let all = position.step.saturating_add(left);
        let total = if steps > 0 { all.min(steps) } else { all };
        let end = max_steps.map_or(total, |steps| steps.min(total));
        Self { position, per_epoch, in_epoch, total, end }
    }

    /// One more step is done.
    pub(crate) fn advance(&mut self) {
        self.position.step += 1;
        self.position.batch += 1;
        if self.position.batch >= self.in_epoch {
            self.position = self.position.next_epoch();
            self.in_epoch = self.per_epoch;
        }
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Batches of the epoch that it stands in.
    pub(crate) fn in_epoch(&self) -> u64 {
        self.in_epoch
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Whether all steps of this run are done.
    pub(crate) fn done(&self) -> bool {
        self.position.step >= self.end
    }

    /// Whether all steps of the run are done, `max_steps` or not.
    pub(crate) fn finished(&self) -> bool {
        self.position.step >= self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of `group` items each, of an epoch of 100.
    fn batches(group: u64) -> impl Fn(u64) -> u64 {
        move |dealt| 100u64.saturating_sub(dealt).div_ceil(group)
    }

    #[test]
    fn other_ranks_and_batches_go_on_at_the_same_item() {
        let manifest = Manifest {
            format: crate::checkpoint::FORMAT,
            stage: "fse".into(),
            step: 24,
            epoch: 1,
            batch: 7,
            dealt: 10,
            world_size: 2,
            batch_size: 3,
            seed: 0,
            fidelity: String::new(),
            bad_steps: Default::default(),
            configuration: toml::Table::new(),
            files: Default::default(),
            checksum: String::new(),
        };
        let at = |batch_size, ranks| {
            let config = Config { batch_size, ..Config::default() };
            let (position, changes) = Position::resumed(&manifest, &config, ranks);
            assert_eq!((position.step, position.epoch), (24, 1));
            (position.batch, position.dealt, changes.len())
        };
        assert_eq!(at(3, 2), (7, 10, 0));
        assert_eq!(at(6, 1), (7, 10, 2));
        assert_eq!(at(4, 1), (0, 52, 2));
    }

    #[test]
    fn an_epoch_with_a_change_inside_is_as_long_as_what_is_left_of_it() {
        let whole = Course::new(Position::default(), batches(6), [3, 0], None);
        assert_eq!((whole.total, whole.end, whole.in_epoch), (51, 51, 17));

        // After 52 of the second epoch's items with batches of 4: 12 more, then 25 a epoch.
        let changed = Position { step: 24, epoch: 1, batch: 0, dealt: 52 };
        let mut course = Course::new(changed, batches(4), [3, 0], None);
        assert_eq!((course.total, course.in_epoch), (24 + 12 + 25, 12));
        for _ in 0..5 {
            course.advance();
        }
        // Resumed as it is, it goes the same way.
        assert_eq!(Course::new(course.position, batches(4), [3, 0], None), course);
        for _ in 0..7 {
            course.advance();
        }
        let next = Position { step: 36, epoch: 2, batch: 0, dealt: 0 };
        assert_eq!((course.position, course.in_epoch), (next, 25));
        assert_eq!(Course::new(course.position, batches(4), [3, 0], None), course);
        for _ in 0..25 {
            assert!(!course.done() && !course.finished());
            course.advance();
        }
        assert!(course.done() && course.finished());

        // Too little left for a batch, and the end of everything.
        let rest = Position { step: 7, epoch: 1, batch: 0, dealt: 100 };
        let course = Course::new(rest, batches(6), [2, 0], Some(9));
        assert!(course.done() && course.finished() && course.total == 7);
        let course = Course::new(rest, batches(6), [3, 0], Some(9));
        assert_eq!((course.position.epoch, course.total, course.end), (2, 24, 9));

        // Steps that end the run inside an epoch, or are more than it has.
        let mut course = Course::new(Position::default(), batches(6), [3, 2], None);
        assert_eq!((course.total, course.end), (2, 2));
        course.advance();
        assert!(!course.finished());
        course.advance();
        assert!(course.done() && course.finished());
        let course = Course::new(Position::default(), batches(6), [3, 99], Some(7));
        assert_eq!((course.total, course.end), (51, 7));
    }
}
