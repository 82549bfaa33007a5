//! Pre-training: the recogniser itself, trained to tell people apart by a margin on the sphere
//! (ArcFace, CosFace), and tried on people it has never seen.

mod augment;
mod config;
mod draws;
mod margin;
mod stage;
mod verification;

pub use augment::Augmentation;
pub use config::RecogniserConfig;
pub use margin::{Margin, logits};
pub use stage::EncoderStage;
pub use verification::{Verification, pair_scores};

/// Name of the stage: `[encoder]` in presets, `checkpoints_ENCODER`.
pub const STAGE: &str = "encoder";

/// What the encoder's weights are called below in a checkpoint of this stage, as in one of
/// stage I.
pub const PREFIX: &str = "encoder";
