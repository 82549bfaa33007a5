//! A profile of some steps on demand: one Chrome trace a rank.

use crate::Error;
use c10d::torch::Profile;
use files::Folder;
use std::os::unix::fs::PermissionsExt;

/// Name of the folder of traces in a run's folder.
const FOLDER: &str = "trace";

/// Records the steps that [`crate::Places::profile`] asks for: the second of the run and those
/// after it, as the first one sets up what the others reuse.
pub(crate) struct Trace {
    run: Folder,
    name: String,
    /// Steps still to come before, and in, the recording.
    before: u64,
    left: u64,
    recording: Option<Profile>,
    lost: u64,
}

impl Trace {
    /// Of `steps` steps, to be written to `trace/NAME` in a run's folder; none if 0.
    pub(crate) fn new(run: Folder, name: String, steps: u64) -> Self {
        Self { run, name, before: 1, left: steps, recording: None, lost: 0 }
    }

    /// Refuses what stands where the trace is to go.
    ///
    /// # Errors
    /// A link, or anything else that cannot be replaced.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.left == 0 {
            return Ok(());
        }
        let folder = self.run.inside(FOLDER);
        self.run.has_folder(FOLDER).map_err(Error::file("use", folder.path()))?;
        let found = self.run.has_file(format!("{FOLDER}/{}", self.name));
        found.map(|_| ()).map_err(Error::file("write", folder.path().join(&self.name)))
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
        match self.write(profile) {
            Ok(()) => tracing::info!(
                "profile: {} (open it in chrome://tracing or Perfetto)",
                self.run.path().join(FOLDER).join(&self.name).display()
            ),
            Err(error) => {
                tracing::error!("{error}: the profile is left out, and the run goes on");
                self.lost = 1;
            }
        }
    }

    /// libtorch writes to a path, through whatever links lie there: in a folder that has just been
    /// made, where none does.
    fn write(&self, profile: Profile) -> Result<(), Error> {
        // The run's folder need not be there on machines other than rank 0's.
        let made = self.run.clone().created().and_then(|run| run.make(FOLDER)).and_then(|folder| {
            let temporary = folder.make_temporary(&self.name)?;
            Ok((folder, temporary))
        });
        let path = self.run.path().join(FOLDER);
        let (folder, temporary) = made.map_err(Error::file("create", &path))?;
        let written = folder.inside(&temporary).path().join(&self.name);
        let saved = profile.save(&written).map_err(Error::from).and_then(|()| {
            let replace = || {
                std::fs::set_permissions(&written, PermissionsExt::from_mode(0o600))?;
                if folder.has_file(&self.name)? {
                    folder.remove(&self.name)?;
                }
                folder.rename(format!("{temporary}/{}", self.name), &self.name)
            };
            replace().map_err(Error::file("write", path.join(&self.name)))
        });
        // Best effort: what stays is a hidden folder, which a later trace does not meet.
        let _ = folder.remove_tree(&temporary);
        saved
    }
}
