//! A profile of some steps on demand: one Chrome trace a rank.

use crate::Error;
use c10d::torch::Profile;
use std::fs;
use std::path::PathBuf;

/// Records the steps that [`crate::Places::profile`] asks for: the second of the run and those
/// after it, as the first one sets up what the others reuse.
pub(crate) struct Trace {
    file: PathBuf,
    /// Steps still to come before, and in, the recording.
    before: u64,
    left: u64,
    recording: Option<Profile>,
}

impl Trace {
    /// Of `steps` steps, to be written to `file`; none if 0.
    pub(crate) fn new(file: PathBuf, steps: u64) -> Self {
        Self { file, before: 1, left: steps, recording: None }
    }

    pub(crate) fn begin_step(&mut self) -> Result<(), Error> {
        if self.before > 0 {
            self.before -= 1;
        } else if self.left > 0 && self.recording.is_none() {
            self.recording = Some(Profile::start()?);
        }
        Ok(())
    }

    pub(crate) fn end_step(&mut self) -> Result<(), Error> {
        if self.recording.is_some() {
            self.left -= 1;
            if self.left == 0 {
                self.finish()?;
            }
        }
        Ok(())
    }

    /// Writes what there is, also if the run ends earlier than asked for.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let Some(profile) = self.recording.take() else { return Ok(()) };
        self.left = 0;
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        profile.save(&self.file)?;
        tracing::info!(
            "profile: {} (open it in chrome://tracing or Perfetto)",
            self.file.display()
        );
        Ok(())
    }
}
