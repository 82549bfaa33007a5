//! Keeping a stage's folder of checkpoints in order. Rank 0 only.

use super::find::list;
use super::write::sync_folder;
use super::{Checkpoint, step_name};
use crate::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of one stage's checkpoints.
pub(crate) struct Shelf<'a>(pub(crate) &'a Path);

impl Shelf<'_> {
    /// Makes the folder ready for a run that starts at `step`: removes what was never
    /// completed, and sets aside complete checkpoints of later steps (they belong to a
    /// run that this one does not continue). Returns where those went.
    pub(crate) fn prepare(&self, step: Option<u64>) -> Result<Option<PathBuf>, Error> {
        for entry in fs::read_dir(self.0).map_err(Error::file("list", self.0))?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".step_") && name.ends_with(".tmp") {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
            }
        }
        let later = |found: &u64| step.is_none_or(|step| *found > step);
        let later: Vec<_> = list(self.0)?
            .into_iter()
            .filter(|(found, path)| later(found) && Checkpoint::open(path).is_ok())
            .collect();
        if later.is_empty() {
            return Ok(None);
        }
        let aside = self.free_name()?;
        for (step, path) in later {
            fs::rename(&path, aside.join(step_name(step))).map_err(Error::file("move", &path))?;
        }
        sync_folder(self.0)?;
        Ok(Some(aside))
    }

    fn free_name(&self) -> Result<PathBuf, Error> {
        let mut number = 1;
        loop {
            let path = self.0.join(format!("earlier_{number:02}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::file("create", path)(error)),
            }
        }
    }

    /// Deletes all but the `keep` newest complete checkpoints (0 keeps all). Torn ones
    /// do not count and stay. The newest complete one is never deleted.
    pub(crate) fn keep(&self, keep: usize) -> Result<(), Error> {
        if keep == 0 {
            return Ok(());
        }
        let complete = list(self.0)?.into_iter().filter(|(_, path)| Checkpoint::open(path).is_ok());
        for (_, path) in complete.skip(keep) {
            // The manifest first, so that a half-deleted folder is no checkpoint.
            let manifest = path.join(super::MANIFEST);
            fs::remove_file(&manifest).map_err(Error::file("delete", &manifest))?;
            fs::remove_dir_all(&path).map_err(Error::file("delete", &path))?;
        }
        Ok(())
    }
}
