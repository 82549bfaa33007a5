//! Keeping a stage's folder of checkpoints in order. Rank 0 only.

use super::find::list;
use super::write::sync_folder;
use super::{Checkpoint, step_name};
use crate::Error;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// The folder of one stage's checkpoints.
pub(crate) struct Shelf {
    folder: PathBuf,
    /// Steps of checkpoints that are known to be good.
    good: BTreeSet<u64>,
}

impl Shelf {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, good: BTreeSet::new() }
    }

    /// Makes the folder ready for a run that starts at `step`: removes what was never
    /// completed, and sets aside complete checkpoints of later steps (they belong to a
    /// run that this one does not continue). Returns where those went.
    pub(crate) fn prepare(&self, step: Option<u64>) -> Result<Option<PathBuf>, Error> {
        for entry in
            fs::read_dir(&self.folder).map_err(Error::file("list", &self.folder))?.flatten()
        {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".step_") && name.ends_with(".tmp") {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
            }
        }
        let later = |found: &u64| step.is_none_or(|step| *found > step);
        let later: Vec<_> = list(&self.folder)?
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
        sync_folder(&self.folder)?;
        Ok(Some(aside))
    }

    fn free_name(&self) -> Result<PathBuf, Error> {
        let mut number = 1;
        loop {
            let path = self.folder.join(format!("earlier_{number:02}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::file("create", path)(error)),
            }
        }
    }

    /// Takes note that the checkpoint of a step is good: written and summed up by this run, or
    /// read through and compared with its sums at its start.
    pub(crate) fn trust(&mut self, step: u64) {
        self.good.insert(step);
    }

    /// Deletes complete checkpoints beyond the `newest` ones (0 keeps all), except those of
    /// steps that are multiples of `every` (0: of none). Torn ones do not count and stay.
    ///
    /// A manifest that reads well and files of the right sizes are no proof that a file's bytes
    /// are right, and reading everything through at each save would take too long. So good ones
    /// ([`Shelf::trust`]) come first among the newest: as long as there is one it stays, whatever
    /// became of the others.
    pub(crate) fn keep(&self, newest: usize, every: u64) -> Result<(), Error> {
        if newest == 0 {
            return Ok(());
        }
        let complete = list(&self.folder)?.into_iter();
        let complete = complete.filter(|(_, path)| Checkpoint::open(path).is_ok());
        let (good, other): (Vec<_>, Vec<_>) =
            complete.partition(|(step, _)| self.good.contains(step));
        for (step, path) in good.into_iter().chain(other).skip(newest) {
            if every > 0 && step.is_multiple_of(every) {
                continue;
            }
            // The manifest first, so that a half-deleted folder is no checkpoint.
            let manifest = path.join(super::MANIFEST);
            fs::remove_file(&manifest).map_err(Error::file("delete", &manifest))?;
            fs::remove_dir_all(&path).map_err(Error::file("delete", &path))?;
        }
        Ok(())
    }
}
