//! The learning rate as a pure function of the step.

use super::Config;
use serde::{Deserialize, Serialize};

/// How the learning rate changes after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Not at all.
    #[default]
    Constant,
    /// Straight down to 0 at the last step.
    Linear,
    /// Half a cosine down to 0 at the last step.
    Cosine,
    /// Down to 0 at the last step as `(1 − progress)^lr_power`.
    Polynomial,
}

impl Config {
    /// The learning rate of `step` (from 0) in a run of `total` steps.
    ///
    /// Only the length of all epochs counts as `total`, not `--max-steps`: a run that
    /// is stopped early and resumed goes through the same rates.
    pub fn rate(&self, step: u64, total: u64) -> f64 {
        if step < self.warmup_steps {
            return self.lr * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let after = (step - self.warmup_steps) as f64;
        let length = total.saturating_sub(self.warmup_steps).max(1) as f64;
        let progress = (after / length).min(1.0);
        self.lr
            * match self.lr_schedule {
                Schedule::Constant => 1.0,
                Schedule::Linear => 1.0 - progress,
                Schedule::Polynomial => (1.0 - progress).powf(self.lr_power),
                Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_then_decay() {
        let config =
            |lr_schedule| Config { lr: 2.0, warmup_steps: 4, lr_schedule, ..Config::default() };
        let all = [Schedule::Constant, Schedule::Linear, Schedule::Cosine, Schedule::Polynomial];
        for schedule in all {
            assert_eq!(config(schedule).rate(0, 14), 0.5);
            assert_eq!(config(schedule).rate(3, 14), 2.0);
            assert_eq!(config(schedule).rate(4, 14), 2.0);
        }
        assert_eq!(config(Schedule::Constant).rate(13, 14), 2.0);
        assert!((config(Schedule::Linear).rate(9, 14) - 1.0).abs() < 1e-12);
        assert!((config(Schedule::Cosine).rate(9, 14) - 1.0).abs() < 1e-12);
        assert!((config(Schedule::Polynomial).rate(9, 14) - 0.5).abs() < 1e-12);
        assert_eq!(config(Schedule::Linear).rate(99, 14), 0.0);
        assert_eq!(config(Schedule::Polynomial).rate(99, 14), 0.0);
    }
}
