//! Which steps were left out because their numbers went bad, learnt without making a device
//! wait.
//!
//! Whether a group was updated is decided on the device ([`crate::Optimizers::minimize`]) and
//! is the same on every rank. The host hears of it later: at once on the CPU, one step behind
//! on CUDA, where the next step is queued by then. How far behind depends on the device alone,
//! so all ranks count, warn and stop at the same step.

use crate::Error;
use crate::checkpoint::BadSteps;
use crate::standing::Standing;
use c10d::torch::Reading;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use tch::{Device, Tensor};

/// A step whose outcome is on its way.
struct Waiting {
    step: u64,
    groups: Vec<&'static str>,
    flags: Reading,
    items: Rc<[String]>,
    before: Rc<Standing>,
}

/// Counts bad steps and warns of them.
pub(crate) struct Verdicts {
    /// Steps that the host may be behind.
    lag: usize,
    waiting: VecDeque<Waiting>,
    counts: BadSteps,
    /// The last step known to be bad, and its groups that were not updated.
    last: (u64, Vec<&'static str>),
    /// Steps found bad since [`Verdicts::take_bad`].
    bad: BTreeSet<u64>,
    unchanged: Option<(Rc<Standing>, BadSteps)>,
}

impl Verdicts {
    /// Goes on from a checkpoint's `counts`.
    pub(crate) fn new(device: Device, counts: BadSteps) -> Self {
        let last = (0, Vec::new());
        let (waiting, bad) = Default::default();
        let lag = usize::from(device.is_cuda());
        Self { lag, waiting, counts, last, bad, unchanged: None }
    }

    /// Takes in a step: per group a 0-dimensional tensor, 1 where the group was not updated;
    /// what the step learnt from, to name it; and where the run stood before it.
    pub(crate) fn push(
        &mut self,
        step: u64,
        flags: Vec<(&'static str, Tensor)>,
        items: Rc<[String]>,
        before: Rc<Standing>,
    ) -> Result<(), Error> {
        let (groups, flags): (Vec<_>, Vec<_>) = flags.into_iter().unzip();
        if !groups.is_empty() {
            let flags = c10d::torch::read_later(&Tensor::f_stack(&flags, 0)?)?;
            self.waiting.push_back(Waiting { step, groups, flags, items, before });
        }
        self.settle_to(self.lag)
    }

    /// Learns the outcome of every step so far.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.settle_to(0)
    }

    fn settle_to(&mut self, left: usize) -> Result<(), Error> {
        while self.waiting.len() > left {
            let Some(waiting) = self.waiting.pop_front() else { break };
            let Waiting { step, groups, flags, items, before } = waiting;
            let all = groups.len();
            let flags: Vec<f32> = Vec::try_from(&flags.wait()?)?;
            let skipped: Vec<_> =
                groups.into_iter().zip(flags).filter(|(_, flag)| *flag != 0.0).collect();
            if skipped.is_empty() {
                self.counts.in_a_row = 0;
                self.unchanged = None;
                continue;
            }
            if skipped.len() < all {
                self.unchanged = None;
            } else if self.unchanged.is_none() {
                self.unchanged = Some((before, self.counts));
            }
            self.bad.insert(step);
            self.counts.in_a_row += 1;
            self.counts.total += 1;
            self.last = (step, skipped.into_iter().map(|(group, _)| group).collect());
            tracing::warn!(
                "step {step}: {} not updated, a loss or gradient is not finite ({} in a row){}",
                self.last.1.join(", "),
                self.counts.in_a_row,
                crate::session::told(&items)
            );
        }
        Ok(())
    }

    /// Bad steps known so far.
    pub(crate) fn counts(&self) -> BadSteps {
        self.counts
    }

    /// Where the run stood, and its counts, before the last steps known if these have changed
    /// nothing: parameters, moments and buffers are still what they were there. A bad step
    /// that updated some groups and not others has changed something.
    pub(crate) fn unchanged(&self) -> Option<(Rc<Standing>, BadSteps)> {
        self.unchanged.clone()
    }

    /// Steps found bad since this was last called.
    pub(crate) fn take_bad(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.bad)
    }

    /// The last step known to be bad, and its groups that were not updated.
    pub(crate) fn last(&self) -> (u64, &[&'static str]) {
        (self.last.0, &self.last.1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::position::Position;

    /// Which of the groups g and d are not updated, step by step.
    fn verdicts(lag: usize, bad: &[[bool; 2]], mut known: impl FnMut(&Verdicts)) -> Verdicts {
        let mut verdicts = Verdicts { lag, ..Verdicts::new(Device::Cpu, BadSteps::default()) };
        for (step, bad) in (0..).zip(bad) {
            let [g, d] = bad.map(|bad| Tensor::from(f32::from(bad)));
            let position = Position { step, ..Position::default() };
            let before = Rc::new(Standing::now(position, Device::Cpu).unwrap());
            verdicts.push(step, vec![("g", g), ("d", d)], Rc::new([]), before).unwrap();
            known(&verdicts);
        }
        verdicts
    }

    const GOOD: [bool; 2] = [false, false];
    const PART: [bool; 2] = [false, true];
    const BAD: [bool; 2] = [true, true];

    #[test]
    fn the_host_may_be_behind_but_misses_nothing() {
        let bad = [GOOD, PART, BAD, GOOD, PART];
        for lag in [0, 1] {
            let mut known = Vec::new();
            let mut verdicts = verdicts(lag, &bad, |now| known.push(now.counts().in_a_row));
            let in_a_row = [0, 1, 2, 0, 1];
            assert_eq!(known[lag..], in_a_row[..bad.len() - lag], "lag {lag}");
            verdicts.settle().unwrap();
            assert_eq!((verdicts.counts().in_a_row, verdicts.counts().total), (1, 3));
            assert_eq!(verdicts.last(), (4, &["d"][..]));
            assert_eq!(verdicts.take_bad(), [1, 2, 4].into());
            assert!(verdicts.take_bad().is_empty());
        }
    }

    #[test]
    fn a_run_stands_before_the_steps_that_changed_nothing() {
        /// Verdicts; step, total and in a row of where it stands.
        type Case = (&'static [[bool; 2]], Option<(u64, u64, u64)>);
        let cases: [Case; 5] = [
            (&[GOOD, GOOD], None),
            (&[GOOD, BAD, BAD], Some((1, 0, 0))),
            (&[BAD, GOOD, BAD, BAD, BAD], Some((2, 1, 0))),
            (&[GOOD, PART, PART], None),
            (&[GOOD, PART, BAD, BAD], Some((2, 1, 1))),
        ];
        for (bad, expected) in cases {
            for lag in [0, 1] {
                let mut verdicts = verdicts(lag, bad, |_| {});
                verdicts.settle().unwrap();
                let unchanged = verdicts.unchanged().map(|(standing, counts)| {
                    (standing.position.step, counts.total, counts.in_a_row)
                });
                assert_eq!(unchanged, expected, "{bad:?}, lag {lag}");
            }
        }
    }
}
