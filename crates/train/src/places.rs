//! What a run is told besides its configuration, and what it says at its end.

use crate::Stop;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a run starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// The newest complete checkpoint of the stage; from the beginning if there is none.
    #[default]
    Auto,
    /// From the beginning. Checkpoints of an earlier run are set aside, not deleted.
    None,
    /// This checkpoint folder, or the newest complete one in this folder.
    Path(PathBuf),
}

impl FromStr for Resume {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "none" => Self::None,
            path => Self::Path(path.into()),
        })
    }
}

/// Folders of a run and everything else that is not part of the method.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Holds `config.toml`, `metrics.jsonl`, TensorBoard's events and `preview/`.
    pub run_dir: PathBuf,
    /// Holds `checkpoints_FSE/`, `checkpoints_IRC/`, …
    pub checkpoint_dir: PathBuf,
    /// Where to start.
    pub resume: Resume,
    /// Stop (with a checkpoint) when the run has done this many steps in all,
    /// counting those before a resume.
    pub max_steps: Option<u64>,
    /// Steps to record in a Chrome trace below `run_dir`, from the run's second on; 0: none.
    pub profile: u64,
    /// Steps in which this rank's losses are NaN, to try what happens then.
    pub spoilt_steps: Vec<u64>,
    /// The resolved configuration: saved as `config.toml` and, without paths, in every
    /// checkpoint.
    pub configuration: toml::Table,
    /// Keys of `configuration` whose values are paths.
    pub paths: Vec<String>,
    /// Top-level keys of `configuration` that a checkpoint must agree with, such as
    /// `image_size`, `width_divisor`, `fidelity`.
    pub must_match: Vec<String>,
    /// Which of the method's variants this is; recorded in every checkpoint.
    pub fidelity: String,
    /// Further entries for the header of `model.safetensors` (channel order, …).
    pub metadata: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Steps done in all, counting those before a resume.
    pub steps: u64,
    /// The step a checkpoint was resumed at, if any.
    pub resumed: Option<u64>,
    /// Steps in which some group was skipped because of a non-finite loss or gradient.
    pub bad_steps: u64,
    /// What ended the run before its last step, if something did.
    pub stopped: Option<Stop>,
    /// Whether the run is at its end (false after a stop or `max_steps`).
    pub finished: bool,
    /// The newest checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// Lines of metrics, events, previews and profiles that a failing disk has cost.
    pub lost: u64,
    /// Losses of the last logged step, averaged over ranks.
    pub losses: BTreeMap<String, f64>,
    /// What the last validation of this run found; empty if there was none.
    pub validation: BTreeMap<String, f64>,
}
