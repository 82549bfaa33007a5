//! Finding, verifying and opening checkpoints.

use super::manifest::FileSum;
use super::{MODEL, Manifest, OPTIMIZER, rank_file, step_of};
use crate::Error;
use files::Folder;
use std::path::{Path, PathBuf};

/// A checkpoint folder whose manifest is good. No link in it is followed, and its files may be
/// anybody's: it may have been downloaded.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: Folder,
    manifest: Manifest,
}

/// A folder that looks like a checkpoint and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl Checkpoint {
    /// Opens a checkpoint folder, which may be a link: reads the manifest and compares sizes.
    ///
    /// # Errors
    /// If it is not complete.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_in(Folder::at(path).of_anybody())
    }

    /// The same, where the way to it has been opened.
    pub(super) fn open_in(folder: Folder) -> Result<Self, Error> {
        match Manifest::read(&folder) {
            Ok(manifest) => Ok(Self { folder, manifest }),
            Err(problem) => Err(Error::checkpoint(folder.path(), problem)),
        }
    }

    /// Reads every file through and compares its SHA-256.
    ///
    /// # Errors
    /// Names the first file that differs.
    pub fn verify(&self) -> Result<(), Error> {
        for required in [MODEL, OPTIMIZER] {
            if !self.manifest.files.contains_key(required) {
                return Err(Error::checkpoint(self.path(), format!("it has no {required}")));
            }
        }
        for (name, expected) in &self.manifest.files {
            if FileSum::of(&self.folder, name)? != *expected {
                let problem = format!("{name} is damaged: its SHA-256 differs from the manifest's");
                return Err(Error::checkpoint(self.path(), problem));
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The stage's state, by published name.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn model(&self) -> Result<weights::Tensors, Error> {
        self.tensors(MODEL)
    }

    /// The optimizers' state.
    pub(crate) fn optimizer(&self) -> Result<weights::Tensors, Error> {
        self.tensors(OPTIMIZER)
    }

    /// A rank's own state, if that rank took part in writing.
    pub(crate) fn rank(&self, rank: usize) -> Result<Option<weights::Tensors>, Error> {
        let name = rank_file(rank);
        match self.manifest.files.contains_key(&name) {
            true => Ok(Some(self.tensors(&name)?)),
            false => Ok(None),
        }
    }

    fn tensors(&self, name: &str) -> Result<weights::Tensors, Error> {
        let path = self.path().join(name);
        let file = self.folder.open(name).map_err(Error::file("read", &path))?;
        Ok(weights::read_open(file, &path)?.tensors)
    }
}

/// The checkpoint that `path` means: itself if it is a checkpoint folder, else the
/// newest complete one of `stage` in it (or in its `checkpoints_STAGE`). Verified.
///
/// # Errors
/// If there is none, it is damaged, or it is another stage's.
pub fn find(path: &Path, stage: &str) -> Result<Checkpoint, Error> {
    let named = path.file_name().and_then(|name| name.to_str()).and_then(step_of).is_some();
    if named || path.join(super::MANIFEST).exists() {
        let checkpoint = Checkpoint::open(path)?;
        checkpoint.verify()?;
        return of_stage(checkpoint, stage);
    }
    let (mut found, mut skipped) = newest(path)?;
    if found.is_none() && skipped.is_empty() {
        let (inner, problems) = newest(&super::folder(path, stage))?;
        (found, skipped) = (inner, problems);
    }
    for problem in &skipped {
        tracing::warn!("checkpoint {} skipped: {}", problem.path.display(), problem.problem);
    }
    match found {
        Some(checkpoint) => of_stage(checkpoint, stage),
        None => {
            let problem = format!("no complete checkpoint of stage {stage} here; train it first");
            Err(Error::checkpoint(path, problem))
        }
    }
}

/// The newest complete and undamaged checkpoint in a folder, and those newer ones that
/// are not, newest first. A folder that does not exist holds none.
///
/// # Errors
/// If the folder cannot be listed.
pub fn newest(folder: &Path) -> Result<(Option<Checkpoint>, Vec<Skipped>), Error> {
    let mut skipped = Vec::new();
    let folder = Folder::at(folder).of_anybody();
    for (_, name) in list(&folder)? {
        let whole = Checkpoint::open_in(folder.inside(&name));
        let whole = whole.and_then(|found| found.verify().map(|()| found));
        match whole {
            Ok(checkpoint) => return Ok((Some(checkpoint), skipped)),
            Err(Error::Checkpoint { path, problem }) => skipped.push(Skipped { path, problem }),
            Err(other) => {
                let path = folder.path().join(name);
                skipped.push(Skipped { path, problem: other.to_string() });
            }
        }
    }
    Ok((None, skipped))
}

/// Names `step_…` in a folder, the highest step first.
pub(super) fn list(folder: &Folder) -> Result<Vec<(u64, String)>, Error> {
    let names = match folder.names() {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", folder.path())(error)),
    };
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let mut found: Vec<_> = names.filter_map(|name| Some((step_of(&name)?, name))).collect();
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

fn of_stage(checkpoint: Checkpoint, stage: &str) -> Result<Checkpoint, Error> {
    let found = &checkpoint.manifest.stage;
    if found == stage {
        return Ok(checkpoint);
    }
    let problem = format!("it belongs to stage {found}, stage {stage} is wanted; give its folder");
    Err(Error::checkpoint(checkpoint.path(), problem))
}
