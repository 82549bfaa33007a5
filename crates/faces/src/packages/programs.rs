//! Other programs (Python, npm, nvidia-smi), started so that the current folder has no say.
//!
//! The current folder may hold anything: a `pip.py` beside the photos would be imported by
//! `python -m pip`, an `.npmrc` would be read by npm, and with an empty or relative entry in
//! `PATH` a file called `python3` would be started. So programs are looked up in the absolute
//! entries of `PATH` only and work in an empty folder of their own, and Python is isolated (`-I`:
//! no `PYTHON…` variables, no module path from the folder or the user's home).

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// An empty folder for programs to work in, which nobody else can enter. Removed when dropped.
#[derive(Debug)]
pub struct Workplace(TempDir);

impl Workplace {
    /// Makes the folder, where temporary files go.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> std::io::Result<Workplace> {
        Workplace::inside(&std::env::temp_dir())
    }

    pub(super) fn inside(folder: &Path) -> std::io::Result<Workplace> {
        let place = std::path::absolute(folder)?;
        let private = Permissions::from_mode(0o700);
        let mut builder = tempfile::Builder::new();
        Ok(Workplace(builder.prefix("faceshield-").permissions(private).tempdir_in(place)?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A command that runs `program`, an absolute path, in this folder. It finds programs of its
    /// own in the absolute entries of `PATH`.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env("PATH", search_path()).stdin(Stdio::null());
        command
    }

    /// An isolated Python in this folder.
    pub fn python(&self, program: &Path) -> Command {
        let mut command = self.command(program);
        command.arg("-I");
        command
    }
}

/// Whether the program `name` is there and succeeds with these arguments.
pub fn succeeds(name: &str, args: &[&str]) -> bool {
    let Some((program, place)) = find(name).zip(Workplace::new().ok()) else { return false };
    let mut command = place.command(&program);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The program called `name` in the first absolute entry of `PATH` that has one.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    absolute_entries(&path).map(|folder| folder.join(name)).find(|file| {
        let runs = |metadata: std::fs::Metadata| {
            metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
        };
        file.metadata().is_ok_and(runs)
    })
}

/// The program that a user names: looked up like [`find`], or a path from the current folder on.
pub(super) fn named(program: &OsStr) -> Option<PathBuf> {
    if Path::new(program).components().count() > 1 {
        return std::path::absolute(program).ok();
    }
    find(program.to_str()?)
}

fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Entries that were split apart have no separator in them.
    std::env::join_paths(absolute_entries(&path)).unwrap_or_default()
}

/// An empty entry means the current folder, a relative one a folder below it.
fn absolute_entries(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(path).filter(|folder| folder.is_absolute())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_absolute_entries_are_searched() {
        let entries = |path: &str| absolute_entries(path.as_ref()).collect::<Vec<_>>();
        let kept = [PathBuf::from("/usr/bin"), PathBuf::from("/bin")];
        assert_eq!(entries(":/usr/bin::.:bin:../bin:/bin:"), kept);
        assert!(entries("").is_empty());
        assert_eq!(named("sh".as_ref()), find("sh"));
        assert!(find("sh").unwrap().is_absolute());
        assert_eq!(named("./sh".as_ref()).unwrap(), std::env::current_dir().unwrap().join("sh"));
    }

    #[test]
    fn programs_work_in_a_private_folder_of_their_own() {
        let place = Workplace::new().unwrap();
        let mode = place.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let output =
            place.command(&find("sh").unwrap()).args(["-c", "pwd -P; echo $PATH"]).output();
        let output = String::from_utf8(output.unwrap().stdout).unwrap();
        let (folder, path) = output.trim().split_once('\n').unwrap();
        assert_eq!(Path::new(folder), place.path().canonicalize().unwrap());
        assert!(std::env::split_paths(path).all(|entry| entry.is_absolute()), "{path}");
    }
}
