use serde::{Deserialize, Serialize};

use super::{Augmentation, Margin};
use crate::{BatchStatistics, Error};

/// What the training of the recogniser can be told, beside the engine's and the model's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecogniserConfig {
    /// Where a person's distance to others is kept: `arcface` or `cosface`.
    pub margin: Margin,
    /// Its size; below 0 the published one: 0.5 (radians) for ArcFace, 0.35 for CosFace.
    pub margin_value: f64,
    /// Share of the run's steps over which the margin rises from 0: it is far beyond what an
    /// untrained encoder reaches.
    pub margin_warmup: f64,
    /// Factor of the cosines in the softmax.
    pub scale: f64,
    /// Share of the last feature that is left out at random; published 0.6.
    pub dropout: f64,
    /// What the batch norms see.
    pub batch_norm: BatchStatistics,
    /// Changes of colour and sharpness.
    pub augment: Augmentation,
}

impl Default for RecogniserConfig {
    fn default() -> Self {
        RecogniserConfig {
            margin: Margin::ArcFace,
            margin_value: -1.0,
            margin_warmup: 0.4,
            scale: 64.0,
            dropout: 0.6,
            batch_norm: BatchStatistics::Local,
            augment: Augmentation::default(),
        }
    }
}

impl RecogniserConfig {
    /// # Errors
    /// When a value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let full = self.full_margin();
        let limit = match self.margin {
            Margin::ArcFace => std::f64::consts::FRAC_PI_2,
            Margin::CosFace => 1.0,
        };
        let rules = [
            (
                full.is_finite() && full < limit,
                format!(
                    "margin_value = {full}: give a number below {limit:.4}, or -1 for the usual"
                ),
            ),
            (
                (0.0..=1.0).contains(&self.margin_warmup),
                format!("margin_warmup = {}: a share lies between 0 and 1", self.margin_warmup),
            ),
            (
                self.scale.is_finite() && self.scale > 0.0,
                format!("scale = {}: give a positive number", self.scale),
            ),
            (
                (0.0..1.0).contains(&self.dropout),
                format!("dropout = {}: a share from 0 to below 1", self.dropout),
            ),
        ];
        for (holds, rule) in rules {
            if !holds {
                return Err(Error::Config(rule));
            }
        }
        self.augment.check().map_err(Error::Config)
    }

    fn full_margin(&self) -> f64 {
        if self.margin_value < 0.0 { self.margin.usual() } else { self.margin_value }
    }

    /// The margin of `step` (from 0) in a run of `total` steps: linear from 0 over
    /// `margin_warmup` of them, then whole.
    pub fn margin_at(&self, step: u64, total: u64) -> f64 {
        let rise = self.margin_warmup * total as f64;
        let share = if rise > 0.0 { (step as f64 / rise).min(1.0) } else { 1.0 };
        share * self.full_margin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_rises_and_stays() {
        let config = RecogniserConfig::default();
        assert_eq!([0, 20, 40, 99].map(|step| config.margin_at(step, 100)), [0.0, 0.25, 0.5, 0.5]);
        let cosface = RecogniserConfig { margin: Margin::CosFace, ..config.clone() };
        assert_eq!(cosface.margin_at(99, 100), 0.35);
        let at_once = RecogniserConfig { margin_warmup: 0.0, margin_value: 0.2, ..config };
        assert_eq!(at_once.margin_at(0, 100), 0.2);
    }

    #[test]
    fn ranges_are_checked_and_named() {
        let usual = RecogniserConfig::default();
        usual.validate().unwrap();
        let bad = [
            (RecogniserConfig { margin_value: 2.0, ..usual.clone() }, "margin_value"),
            (RecogniserConfig { margin_warmup: 1.5, ..usual.clone() }, "margin_warmup"),
            (RecogniserConfig { scale: 0.0, ..usual.clone() }, "scale"),
            (RecogniserConfig { dropout: 1.0, ..usual.clone() }, "dropout"),
            (
                RecogniserConfig {
                    augment: Augmentation { smallest: 0.0, ..Augmentation::default() },
                    ..usual
                },
                "augment.smallest",
            ),
        ];
        for (config, key) in bad {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
    }
}
