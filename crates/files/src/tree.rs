//! Folders in a [`Folder`]: listed, made, moved and removed, with no link followed.

use std::ffi::{OsStr, OsString};
use std::io::{Error, Result};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, RenameFlags, Stat, renameat, renameat_with};
use rustix::io::Errno;

use crate::Folder;
use crate::check::{self, Owner, refused};
use crate::folder::{enter, status};

/// Folders within folders that are removed at most.
const DEEPEST: usize = 8;

impl Folder {
    /// The names of everything in the folder, sorted.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn names(&self) -> Result<Vec<OsString>> {
        names(&self.opened()?)
    }

    /// Whether a file is there that may be written: regular, one's own, without other names.
    /// False where there is nothing, or no folder for it.
    ///
    /// # Errors
    /// Something else is there, or a link on the way.
    pub fn has_file(&self, relative: impl AsRef<Path>) -> Result<bool> {
        self.has(relative.as_ref(), |stat| {
            check::regular(stat, self.owner)?;
            check::single_name(stat)
        })
    }

    /// Whether a folder of one's own is there, and no link to one. False where there is nothing.
    ///
    /// # Errors
    /// Something else is there, or a link on the way.
    pub fn has_folder(&self, relative: impl AsRef<Path>) -> Result<bool> {
        self.has(relative.as_ref(), |stat| check::folder(stat, self.owner))
    }

    fn has(&self, relative: &Path, check: impl Fn(&Stat) -> Result<()>) -> Result<bool> {
        if !self.exists(relative)? {
            return Ok(false);
        }
        let (parent, name) = self.parent(relative)?;
        match status(&parent, name)? {
            Some(stat) => check(&stat).map(|()| true),
            None => Ok(false),
        }
    }

    /// Makes a new folder.
    ///
    /// # Errors
    /// `AlreadyExists` when anything is in its place, be it a dangling link; a folder on the way
    /// is missing or a link.
    pub fn make_new(&self, relative: impl AsRef<Path>) -> Result<Folder> {
        let (parent, name) = self.parent(relative.as_ref())?;
        rustix::fs::mkdirat(&parent, name, self.access.folder())?;
        Ok(self.inside(relative))
    }

    /// Makes a new folder that is to be called `name` when it is complete, under a name that
    /// nobody can foresee, which is returned. [`Folder::sweep`] removes what a process that was
    /// killed has left of it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_temporary(&self, name: &str) -> Result<String> {
        loop {
            let temporary = crate::replace::random_folder(name)?;
            match self.make_new(&temporary) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => return made.map(|_| temporary),
            }
        }
    }

    /// Moves a file or folder of one's own to a place in this folder where nothing is yet.
    ///
    /// # Errors
    /// It is not there, is a link or another user's; something is in the new place.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (old, old_name) = self.parent(from.as_ref())?;
        let (new, new_name) = self.parent(to.as_ref())?;
        let stat = status(&old, old_name)?.ok_or(Errno::NOENT)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => check::folder(&stat, self.owner)?,
            _ => check::regular(&stat, self.owner)?,
        }
        match renameat_with(&old, old_name, &new, new_name, RenameFlags::NOREPLACE) {
            // Kernels before 3.15 and some file systems cannot do that.
            Err(Errno::INVAL | Errno::NOSYS) => {
                if status(&new, new_name)?.is_some() {
                    return Err(Errno::EXIST.into());
                }
                Ok(renameat(&old, old_name, &new, new_name)?)
            }
            renamed => Ok(renamed?),
        }
    }

    /// Removes a folder with everything in it. Links in it are removed, not what they lead to.
    ///
    /// # Errors
    /// It is not there, is a link or no folder; something in it is another user's or lies too
    /// deep, and then nothing is removed; something cannot be removed.
    pub fn remove_tree(&self, relative: impl AsRef<Path>) -> Result<()> {
        let (parent, name) = self.parent(relative.as_ref())?;
        remove(&parent, name, self.owner)
    }

    /// Makes renames and new files in the folder survive a power cut.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&self) -> Result<()> {
        Ok(rustix::fs::fsync(self.opened()?)?)
    }
}

/// As [`Folder::remove_tree`].
pub(crate) fn remove(parent: &OwnedFd, name: &OsStr, owner: Owner) -> Result<()> {
    let stat = status(parent, name)?.ok_or(Errno::NOENT)?;
    check::folder(&stat, owner)?;
    let folder = enter(parent, name)?;
    // All of it before any of it is removed.
    visit(&folder, 0, &|_, _, _| Ok(()), owner)?;
    let unlink = |folder: &OwnedFd, name: &OsStr, flags| {
        rustix::fs::unlinkat(folder, name, flags).map_err(Error::from)
    };
    visit(&folder, 0, &unlink, owner)?;
    unlink(parent, name, AtFlags::REMOVEDIR)
}

/// Does something to everything in a folder, to what lies in folders first.
fn visit(
    folder: &OwnedFd,
    depth: usize,
    act: &dyn Fn(&OwnedFd, &OsStr, AtFlags) -> Result<()>,
    owner: Owner,
) -> Result<()> {
    if depth >= DEEPEST {
        return Err(refused(format!("folders lie in it {DEEPEST} deep: remove it by hand")));
    }
    for name in names(folder)? {
        let Some(stat) = status(folder, &name)? else { continue };
        let escaped = crate::escape::escape_path(Path::new(&name)).to_string();
        check::own(&stat, owner)
            .map_err(|error| Error::new(error.kind(), format!("{escaped} in it: {error}")))?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_folder {
            visit(&enter(folder, &name)?, depth + 1, act, owner)?;
        }
        act(folder, &name, if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() })?;
    }
    Ok(())
}

fn names(folder: &OwnedFd) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
