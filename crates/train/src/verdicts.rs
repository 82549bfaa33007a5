//! Which steps were left out because their numbers went bad, learnt without making a device
//! wait.
//!
//! Whether a group was updated is decided on the device ([`crate::Optimizers::minimize`]) and
//! is the same on every rank. The host hears of it later: at once on the CPU, one step behind
//! on CUDA, where the next step is queued by then. How far behind depends on the device alone,
//! so all ranks count, warn and stop at the same step.

use crate::Error;
use crate::checkpoint::BadSteps;
use c10d::torch::Reading;
use std::collections::VecDeque;
use tch::{Device, Tensor};

/// A step whose outcome is on its way.
struct Waiting {
    step: u64,
    groups: Vec<&'static str>,
    flags: Reading,
    items: Vec<String>,
}

/// Counts bad steps and warns of them.
pub(crate) struct Verdicts {
    /// Steps that the host may be behind.
    lag: usize,
    waiting: VecDeque<Waiting>,
    counts: BadSteps,
    /// The last step known to be bad, and its groups that were not updated.
    last: (u64, Vec<&'static str>),
}

impl Verdicts {
    /// Goes on from a checkpoint's `counts`.
    pub(crate) fn new(device: Device, counts: BadSteps) -> Self {
        let last = (0, Vec::new());
        Self { lag: usize::from(device.is_cuda()), waiting: VecDeque::new(), counts, last }
    }

    /// Takes in a step: per group a 0-dimensional tensor, 1 where the group was not updated;
    /// and what the step learnt from, to name it.
    pub(crate) fn push(
        &mut self,
        step: u64,
        flags: Vec<(&'static str, Tensor)>,
        items: Vec<String>,
    ) -> Result<(), Error> {
        let (groups, flags): (Vec<_>, Vec<_>) = flags.into_iter().unzip();
        if !groups.is_empty() {
            let flags = c10d::torch::read_later(&Tensor::f_stack(&flags, 0)?)?;
            self.waiting.push_back(Waiting { step, groups, flags, items });
        }
        self.settle_to(self.lag)
    }

    /// Learns the outcome of every step so far.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.settle_to(0)
    }

    fn settle_to(&mut self, left: usize) -> Result<(), Error> {
        while self.waiting.len() > left {
            let Some(Waiting { step, groups, flags, items }) = self.waiting.pop_front() else {
                break;
            };
            let flags: Vec<f32> = Vec::try_from(&flags.wait()?)?;
            let skipped: Vec<_> =
                groups.into_iter().zip(flags).filter(|(_, flag)| *flag != 0.0).collect();
            if skipped.is_empty() {
                self.counts.in_a_row = 0;
                continue;
            }
            self.counts.in_a_row += 1;
            self.counts.total += 1;
            self.last = (step, skipped.into_iter().map(|(group, _)| group).collect());
            tracing::warn!(
                "step {step}: {} not updated, a loss or gradient is not finite ({} in a row); \
                 this rank's items: {}",
                self.last.1.join(", "),
                self.counts.in_a_row,
                items.join(", ")
            );
        }
        Ok(())
    }

    /// Bad steps known so far.
    pub(crate) fn counts(&self) -> BadSteps {
        self.counts
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

    #[test]
    fn the_host_may_be_behind_but_misses_nothing() {
        let bad = [false, true, true, false, true];
        for lag in [0, 1] {
            let mut verdicts = Verdicts { lag, ..Verdicts::new(Device::Cpu, BadSteps::default()) };
            let mut known = Vec::new();
            for (step, bad) in bad.iter().enumerate() {
                let flag = |bad: bool| Tensor::from(f32::from(bad));
                let flags = vec![("d", flag(*bad)), ("g", flag(false))];
                verdicts.push(step as u64, flags, Vec::new()).unwrap();
                known.push(verdicts.counts().in_a_row);
            }
            let in_a_row = [0, 1, 2, 0, 1];
            assert_eq!(known[lag..], in_a_row[..bad.len() - lag], "lag {lag}");
            verdicts.settle().unwrap();
            assert_eq!((verdicts.counts().in_a_row, verdicts.counts().total), (1, 3));
            assert_eq!(verdicts.last(), (4, &["d"][..]));
        }
    }
}
