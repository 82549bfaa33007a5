//! Keeping a stage's folder of checkpoints in order. Rank 0 only.

use super::find::list;
use super::{Manifest, step_name};
use crate::Error;
use files::Folder;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The folder of one stage's checkpoints.
pub(crate) struct Shelf {
    folder: Folder,
    /// Steps of checkpoints that are known to be good.
    good: BTreeSet<u64>,
}

impl Shelf {
    pub(crate) fn new(folder: Folder) -> Self {
        Self { folder, good: BTreeSet::new() }
    }

    /// Makes the folder ready for a run that starts at `step`: removes what was never
    /// completed, and sets aside complete checkpoints of later steps (they belong to a
    /// run that this one does not continue). Returns where those went.
    ///
    /// # Errors
    /// A link, a file or another user's folder stands where a checkpoint is to be written.
    pub(crate) fn prepare(&self, step: Option<u64>) -> Result<Option<PathBuf>, Error> {
        let folder = &self.folder;
        let at = |name: &str| folder.path().join(name);
        folder.sweep("").map_err(Error::file("tidy", folder.path()))?;
        for name in folder.names().map_err(Error::file("list", folder.path()))? {
            // Of versions that named them after the step alone.
            if let Some(name) = name.to_str()
                && name.starts_with(".step_")
                && name.ends_with(".tmp")
                && folder.has_folder(name).is_ok()
            {
                folder.remove_tree(name).map_err(Error::file("remove", at(name)))?;
            }
        }
        let mut later = Vec::new();
        for (found, name) in list(folder)? {
            if step.is_none_or(|step| found > step) {
                folder.has_folder(&name).map_err(Error::file("use", at(&name)))?;
                later.push((found, name));
            }
        }
        later.retain(|(_, name)| self.is_complete(name));
        if later.is_empty() {
            return Ok(None);
        }
        let aside = self.make_aside()?;
        for (step, name) in later {
            let to = format!("{aside}/{}", step_name(step));
            folder.rename(&name, to).map_err(Error::file("move", at(&name)))?;
        }
        folder.sync().map_err(Error::file("sync", folder.path()))?;
        Ok(Some(at(&aside)))
    }

    /// Whether a checkpoint is complete and the user's own. Others are neither moved nor removed.
    fn is_complete(&self, name: &str) -> bool {
        Manifest::read(&self.folder.inside(name)).is_ok()
    }

    /// Makes the first folder `earlier_NN` that there is not, and returns its name.
    fn make_aside(&self) -> Result<String, Error> {
        let mut number = 1;
        loop {
            let name = format!("earlier_{number:02}");
            match self.folder.make_new(&name) {
                Ok(_) => return Ok(name),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    return Err(Error::file("create", self.folder.path().join(name))(error));
                }
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
        let complete = complete.filter(|(_, name)| self.is_complete(name));
        let (good, other): (Vec<_>, Vec<_>) =
            complete.partition(|(step, _)| self.good.contains(step));
        for (step, name) in good.into_iter().chain(other).skip(newest) {
            if every > 0 && step.is_multiple_of(every) {
                continue;
            }
            let path = self.folder.path().join(&name);
            // The manifest first, so that a half-deleted folder is no checkpoint.
            let folder = self.folder.inside(&name);
            let manifest = folder.remove(super::MANIFEST);
            manifest.map_err(Error::file("delete", path.join(super::MANIFEST)))?;
            self.folder.remove_tree(&name).map_err(Error::file("delete", &path))?;
        }
        Ok(())
    }
}
