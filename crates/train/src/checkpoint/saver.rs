//! Saving while the run goes on.
//!
//! A save has two parts. First every rank copies its state in memory (what a step waits for)
//! and a thread of its own writes and syncs the files. When all ranks have done that, which
//! they tell each other at step boundaries, a thread of rank 0 sums the files up, writes the
//! manifest and renames the folder. Threads never talk to other ranks: only the caller does,
//! and all ranks call alike.

use super::write::{Contents, complete};
use super::{Manifest, step_name};
use crate::{Error, agree};
use c10d::World;
use files::Folder;
use std::path::PathBuf;
use std::thread::JoinHandle;

const ACTION: &str = "save its part of the checkpoint";

/// How a save ended.
#[derive(Debug)]
pub enum Outcome {
    /// The checkpoint is complete.
    Saved {
        /// Its step.
        step: u64,
        /// Its folder.
        path: PathBuf,
    },
    /// The disk (of this or another rank) did not let it; nothing is left of it.
    Failed(Error),
}

/// Writes the checkpoints of one stage, one at a time.
#[derive(Debug)]
pub struct Saver<'w> {
    folder: Folder,
    world: &'w World,
    current: Option<Saving>,
}

/// A save under way.
#[derive(Debug)]
struct Saving {
    step: u64,
    /// Name of its folder until it is complete: one that nobody can foresee.
    temporary: String,
    /// Until all ranks have written their files.
    manifest: Option<Manifest>,
    /// What this rank is doing for it.
    work: Option<JoinHandle<Result<(), Error>>>,
}

impl<'w> Saver<'w> {
    /// For checkpoints in `folder`.
    pub fn new(folder: Folder, world: &'w World) -> Self {
        Self { folder, world, current: None }
    }

    /// Copies `contents` and begins to write them; called by all ranks together. Waits for a
    /// save that is still under way, whose outcome is returned; so is that of this one if it
    /// failed at once.
    ///
    /// # Errors
    /// A lost rank, too little memory for the copy.
    pub fn start(&mut self, contents: Contents) -> Result<Vec<Outcome>, Error> {
        let mut outcomes: Vec<Outcome> = self.settle()?.into_iter().collect();
        let step = contents.manifest.step;
        let made = match self.world.is_main() {
            // Not what is above it: a folder that has vanished is not made again elsewhere.
            true => self.folder.make_temporary(&step_name(step)),
            false => Ok(String::new()),
        };
        let mut temporary = String::new();
        let made = made.map(|name| temporary = name);
        let path = self.path(step);
        if let Some(error) = self.agreed(made.map_err(Error::file("create", path)))? {
            outcomes.push(Outcome::Failed(error));
            return Ok(outcomes);
        }
        let temporary = agree::text_from_main(self.world, &temporary)?;
        let contents = {
            let _range = c10d::torch::range(c"snapshot");
            contents.copied()?
        };
        let manifest = Some(contents.manifest.clone());
        let (target, rank) = (self.folder.inside(&temporary), self.world.rank());
        let work = spawn(move || contents.write(&target, rank))?;
        self.current = Some(Saving { step, temporary, manifest, work: Some(work) });
        Ok(outcomes)
    }

    /// Where the checkpoint of a step is, or will be.
    pub(crate) fn path(&self, step: u64) -> PathBuf {
        self.folder.path().join(step_name(step))
    }

    /// The step of the checkpoint that is being written.
    pub(crate) fn saving(&self) -> Option<u64> {
        self.current.as_ref().map(|saving| saving.step)
    }

    /// Whether this rank's thread is still at work.
    pub fn busy(&self) -> bool {
        let work = self.current.as_ref().and_then(|saving| saving.work.as_ref());
        work.is_some_and(|work| !work.is_finished())
    }

    /// Goes on to a save's next part, or its end, waiting for this rank's thread; called by all
    /// ranks together, best when none is [`Saver::busy`].
    ///
    /// # Errors
    /// A lost rank; whatever is not the disk's fault.
    pub fn advance(&mut self) -> Result<Option<Outcome>, Error> {
        let Some(mut saving) = self.current.take() else { return Ok(None) };
        let done = saving.work.take().map_or(Ok(()), join);
        if let Some(error) = self.agreed(done)? {
            if self.world.is_main() {
                // Best effort: what is left behind is no checkpoint either way.
                let _ = self.folder.remove_tree(&saving.temporary);
            }
            return Ok(Some(Outcome::Failed(error)));
        }
        let Some(manifest) = saving.manifest.take() else {
            let path = self.path(saving.step);
            return Ok(Some(Outcome::Saved { step: saving.step, path }));
        };
        if self.world.is_main() {
            let (folder, temporary) = (self.folder.clone(), saving.temporary.clone());
            saving.work = Some(spawn(move || complete(manifest, &folder, &temporary))?);
        }
        self.current = Some(saving);
        Ok(None)
    }

    /// Waits until nothing is under way; called by all ranks together.
    ///
    /// # Errors
    /// As [`Saver::advance`].
    pub fn settle(&mut self) -> Result<Option<Outcome>, Error> {
        while self.current.is_some() {
            if let Some(outcome) = self.advance()? {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    /// What kept some rank from doing its part, if it was a disk; anything else is an error.
    fn agreed(&self, result: Result<(), Error>) -> Result<Option<Error>, Error> {
        match agree::all_ok(self.world, ACTION, result) {
            Ok(()) => Ok(None),
            Err(error @ (Error::File { .. } | Error::Weights(_) | Error::OtherRank { .. })) => {
                Ok(Some(error))
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Saver<'_> {
    fn drop(&mut self) {
        // A run that ends early does not leave a thread behind that writes into its folder.
        if let Some(work) = self.current.take().and_then(|saving| saving.work) {
            let _ = work.join();
        }
    }
}

fn spawn(
    work: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<JoinHandle<Result<(), Error>>, Error> {
    let named = std::thread::Builder::new().name("checkpoint".into());
    named.spawn(work).map_err(Error::file("start a thread for", "the checkpoint"))
}

fn join(work: JoinHandle<Result<(), Error>>) -> Result<(), Error> {
    work.join().unwrap_or(Err(Error::Saver))
}
