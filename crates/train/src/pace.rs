//! How long steps and saves take, to stop while there is time for one more of each.

use std::time::{Duration, Instant};

/// Bytes per second that a disk writes at least, until a save has been measured.
const SLOW_DISK: u64 = 100_000_000;

/// The longest step and the longest save so far.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The last step boundary.
    boundary: Instant,
    step: Duration,
    /// Of a save that is under way.
    save_began: Option<Instant>,
    /// An estimate until there was one.
    save: Duration,
    measured: bool,
}

impl Pace {
    /// At the start of a run whose checkpoints have so many bytes.
    pub(crate) fn new(checkpoint_bytes: u64) -> Self {
        Self {
            boundary: Instant::now(),
            step: Duration::ZERO,
            save_began: None,
            save: Duration::from_secs(checkpoint_bytes / SLOW_DISK),
            measured: false,
        }
    }

    /// At a step boundary: takes in the time since the last one, loading, logging and what
    /// saves kept the run waiting included.
    pub(crate) fn boundary(&mut self, now: Instant) {
        self.step = self.step.max(now.saturating_duration_since(self.boundary));
        self.boundary = now;
    }

    pub(crate) fn save_begins(&mut self, now: Instant) {
        self.save_began = Some(now);
    }

    pub(crate) fn save_ends(&mut self, now: Instant) {
        if let Some(began) = self.save_began.take() {
            let took = now.saturating_duration_since(began);
            self.save = if self.measured { self.save.max(took) } else { took };
            self.measured = true;
        }
    }

    /// Whether, at the last boundary, one more step and a save after it would end later than
    /// `deadline`. A save that is under way must end before the next begins.
    pub(crate) fn out_of_time(&self, deadline: Instant) -> bool {
        let saves = 1 + u32::from(self.save_began.is_some());
        self.boundary + self.step + self.save * saves >= deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_left_for_a_step_and_its_save() {
        let mut pace = Pace::new(0);
        let start = pace.boundary;
        let at = |seconds| start + Duration::from_secs(seconds);
        pace.boundary(at(10));
        pace.boundary(at(13));
        assert!(!pace.out_of_time(at(24)) && pace.out_of_time(at(23)), "the longest step: 10 s");
        pace.save_begins(at(13));
        pace.save_ends(at(17));
        assert!(!pace.out_of_time(at(28)) && pace.out_of_time(at(27)), "and a save of 4 s");
        pace.save_begins(at(17));
        assert!(!pace.out_of_time(at(32)) && pace.out_of_time(at(31)), "and the one under way");
        // Before the first save its size says how long it takes.
        let pace = Pace::new(3 * SLOW_DISK);
        assert!(pace.out_of_time(pace.boundary + Duration::from_secs(3)));
        assert!(!pace.out_of_time(pace.boundary + Duration::from_secs(4)));
    }
}
