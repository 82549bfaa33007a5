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
    lost: u64,
}

impl Trace {
    /// Of `steps` steps, to be written to `file`; none if 0.
    pub(crate) fn new(file: PathBuf, steps: u64) -> Self {
        Self { file, before: 1, left: steps, recording: None, lost: 0 }
    }

    pub(crate) fn begin_step(&mut self) -> Result<(), Error> {
        if self.before > 0 {
            self.before -= 1;
        } else if self.left > 0 && self.recording.is_none() {
            self.recording = Some(Profile::start()?);
        }
        Ok(())
    }

    pub(crate) fn end_step(&mut self) {
        if self.recording.is_some() {
            self.left -= 1;
            if self.left == 0 {
                self.finish();
            }
        }
    }

    /// 1 if the profile could not be written.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes what there is, also if the run ends earlier than asked for.
    pub(crate) fn finish(&mut self) {
        let Some(profile) = self.recording.take() else { return };
        self.left = 0;
        let made = match self.file.parent() {
            Some(folder) => fs::create_dir_all(folder).map_err(Error::file("create", folder)),
            None => Ok(()),
        };
        match made.and_then(|()| Ok(profile.save(&self.file)?)) {
            Ok(()) => tracing::info!(
                "profile: {} (open it in chrome://tracing or Perfetto)",
                self.file.display()
            ),
            Err(error) => {
                tracing::error!("{error}: the profile is left out, and the run goes on");
                self.lost = 1;
            }
        }
    }
}
