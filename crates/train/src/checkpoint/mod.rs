//! Checkpoints: a folder `step_%08d` that is either complete or none at all.
//!
//! ```text
//! checkpoints_FSE/step_00002000/
//!   model.safetensors       the stage's state, published names
//!   optimizer.safetensors   GROUP.PARAMETER.{exp_avg,exp_avg_sq,step}
//!   rank_0000.safetensors   random generators and position of each rank
//!   manifest.json           what this is; size and SHA-256 of every file
//! ```
//!
//! The folder is written under a temporary name, every file synced, the manifest last,
//! then renamed and its parent synced. A folder without a manifest that parses, or
//! with a file of another size or sum than its manifest says, is no checkpoint.
//!
//! A checkpoint may come from elsewhere. The folder that the user names may be a link; none in
//! it is followed, whether it is read, replaced or removed. What is written or removed must be
//! the user's own. Nothing in it shows a face or names one, so that who can read it is left to
//! the umask.

mod find;
mod manifest;
mod paths;
mod saver;
mod shelf;
mod space;
mod write;

pub use find::{Checkpoint, Skipped, find, newest};
pub use manifest::{BadSteps, FORMAT, FileSum, Manifest};
pub use paths::{short_path, without_paths};
pub use saver::{Outcome, Saver};
pub(crate) use shelf::Shelf;
pub(crate) use space::check as check_space;
pub use write::Contents;
pub(crate) use write::bytes;

use files::Folder;
use std::path::{Path, PathBuf};

/// Name of the stage's state in a checkpoint.
pub const MODEL: &str = "model.safetensors";
/// Name of the optimizers' state in a checkpoint.
pub const OPTIMIZER: &str = "optimizer.safetensors";
const MANIFEST: &str = "manifest.json";

/// The folder of a stage's checkpoints: `checkpoints_FSE` in `checkpoint_dir` for `fse`.
pub fn folder(checkpoint_dir: &Path, stage: &str) -> PathBuf {
    checkpoint_dir.join(folder_name(stage))
}

/// The same for a run that writes into it: `checkpoint_dir` may be a link, the stage's folder in
/// it may not.
pub(crate) fn own_folder(checkpoint_dir: &Path, stage: &str) -> Folder {
    Folder::at(checkpoint_dir).shared().inside(folder_name(stage))
}

fn folder_name(stage: &str) -> String {
    format!("checkpoints_{}", stage.to_uppercase())
}

/// Name of a rank's own file.
fn rank_file(rank: usize) -> String {
    format!("rank_{rank:04}.safetensors")
}

fn step_name(step: u64) -> String {
    format!("step_{step:08}")
}

/// The step in a folder's name, if it is a checkpoint's.
fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step_")?;
    (digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}
