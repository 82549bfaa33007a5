//! The keys of `train encoder`.

use encoder::Fidelity;
use encoder::pretraining::RecogniserConfig;
use serde::{Deserialize, Serialize};
use train::config::{Optimizer, Schedule};

use super::{Common, Options};
use crate::failure::misuse;

/// Everything the recogniser's training can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RecogniserOptions {
    #[serde(flatten)]
    pub(crate) common: Common,
    #[serde(flatten)]
    pub(crate) stage: RecogniserConfig,
    /// People of `data` that are held out to validate on: below 1 a share of those with two
    /// images or more, from 1 on their number, 0 nobody.
    pub(crate) validation_people: f64,
    /// Folder of other people to validate on instead; then nobody is held out.
    pub(crate) validation_data: String,
    /// Most images that are validated on; every pair of them is judged.
    pub(crate) validation_images: usize,
}

impl Default for RecogniserOptions {
    fn default() -> Self {
        let mut common = Common::default();
        // As ArcFace and CosFace were trained, but for the momentum's look ahead.
        common.engine.optimizer = Optimizer::Sgd;
        common.engine.nesterov = true;
        common.engine.weight_decay = 5e-4;
        common.engine.lr = 0.1;
        common.engine.lr_schedule = Schedule::Cosine;
        common.engine.warmup_steps = 100;
        common.engine.clip_grad_norm = 5.0;
        common.engine.batch_size = 64;
        common.engine.epochs = 20;
        common.data.flip = true;
        Self {
            common,
            stage: RecogniserConfig::default(),
            validation_people: 0.1,
            validation_data: String::new(),
            validation_images: 2000,
        }
    }
}

impl Options for RecogniserOptions {
    fn of(_: Fidelity) -> Self {
        Self::default()
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn validate_stage(&self) -> anyhow::Result<()> {
        let wrong = |problem: String| Err(misuse(format!("configuration of encoder: {problem}")));
        if self.validation_images < 4 {
            return wrong(format!(
                "validation_images = {}: give at least 4, two of each of two people",
                self.validation_images
            ));
        }
        self.stage.validate().map_err(|error| misuse(format!("configuration of encoder: {error}")))
    }
}
