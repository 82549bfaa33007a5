//! A folder whose content is not trusted.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::Replacement;
use crate::access::Access;
use crate::check::{self, Owner, refused};

/// A folder, and access to what lies in it by relative paths.
///
/// The folder itself is the user's choice: links on the way to it are followed. Below it no link
/// is followed: not at the end of a path and not on the way, and `..` is refused. The kernel's
/// `openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)` promises the same; here each part of a path is
/// opened by itself with `O_NOFOLLOW`, which every kernel and every container can do. Files must
/// be regular and, unless [`Folder::of_anybody`] says otherwise, belong to the user who runs the
/// process; nothing waits for a FIFO. What is made here only its owner can read (0600, folders
/// 0700), unless [`Folder::shared`] says otherwise.
///
/// The folder is opened anew for each call, so that one on a share that was unmounted and mounted
/// again is found again.
#[derive(Clone, Debug)]
pub struct Folder {
    /// What the user named: links on the way to it are followed.
    root: PathBuf,
    /// The way from there to this folder, on which none is followed.
    below: PathBuf,
    /// Both.
    path: PathBuf,
    pub(crate) owner: Owner,
    pub(crate) access: Access,
}

impl Folder {
    /// The folder at `root`, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let (path, access) = (root.clone(), Access::Private);
        Self { root, below: PathBuf::new(), path, owner: Owner::Own, access }
    }

    /// Makes the folder and those on the way to it, where they are missing.
    ///
    /// # Errors
    /// It cannot be made, or something else is in its place.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        Self::at(root).created()
    }

    /// As [`Folder::create`], for a folder that has been described already.
    ///
    /// # Errors
    /// As [`Folder::create`].
    pub fn created(self) -> Result<Self> {
        let mode = self.access.folder().bits();
        DirBuilder::new().recursive(true).mode(mode).create(self.root_path())?;
        let root = Self { below: PathBuf::new(), path: self.root.clone(), ..self.clone() };
        root.make(&self.below)?;
        Ok(self)
    }

    /// The same folder, in which files of other users are read too: for a checkpoint that was
    /// downloaded, say. Only for reading.
    #[must_use]
    pub fn of_anybody(mut self) -> Self {
        self.owner = Owner::Any;
        self
    }

    /// The same folder, where who can read what is made is left to the umask: for what may be
    /// given away, such as checkpoints.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.access = Access::Umask;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder below this one, which need not exist yet. On the way from this one no link is
    /// followed, now or later.
    pub fn inside(&self, relative: impl AsRef<Path>) -> Folder {
        let relative = relative.as_ref();
        let (below, path) = (self.below.join(relative), self.path.join(relative));
        Self { below, path, ..self.clone() }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// It is not there, is a link, lies behind one, is no regular file, or is another user's.
    pub fn open(&self, relative: impl AsRef<Path>) -> Result<File> {
        let (parent, name) = self.parent(relative.as_ref())?;
        self.open_at(&parent, name, OFlags::RDONLY)
    }

    /// The content of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Folder::open`]; it is longer, or reading failed.
    pub fn read(&self, relative: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
        check::content(&self.open(relative)?, limit)
    }

    /// As [`Folder::read`], as text.
    ///
    /// # Errors
    /// As [`Folder::read`]; it is not UTF-8.
    pub fn read_to_string(&self, relative: impl AsRef<Path>, limit: u64) -> Result<String> {
        check::text(self.read(relative, limit)?)
    }

    /// Opens a file for reading and for writing at its end; makes it where there is none.
    ///
    /// # Errors
    /// As [`Folder::open`]; it has other names (hard links), or cannot be written.
    pub fn append(&self, relative: impl AsRef<Path>) -> Result<File> {
        self.writable(relative.as_ref(), OFlags::RDWR | OFlags::APPEND)
    }

    /// Opens a file for reading and writing anywhere; makes it where there is none.
    ///
    /// # Errors
    /// As [`Folder::append`].
    pub fn update(&self, relative: impl AsRef<Path>) -> Result<File> {
        self.writable(relative.as_ref(), OFlags::RDWR)
    }

    /// Makes a new file.
    ///
    /// # Errors
    /// `AlreadyExists` when anything is in its place, be it a dangling link; a folder on the way
    /// is missing or a link.
    pub fn create_new(&self, relative: impl AsRef<Path>) -> Result<File> {
        let (parent, name) = self.parent(relative.as_ref())?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&parent, name, flags | SAFE, self.access.file())?.into())
    }

    /// Begins to write a file anew: what it held stays until [`Replacement::commit`].
    ///
    /// # Errors
    /// Something other than a regular file is in its place, or no file can be made beside it.
    pub fn replace(&self, relative: impl AsRef<Path>) -> Result<Replacement> {
        self.replacement(relative.as_ref(), self.access.file())
    }

    /// As [`Folder::replace`], for a file that may be given away: who can read it is left to the
    /// umask.
    ///
    /// # Errors
    /// As [`Folder::replace`].
    pub fn replace_public(&self, relative: impl AsRef<Path>) -> Result<Replacement> {
        self.replacement(relative.as_ref(), Access::Umask.file())
    }

    /// Writes a file anew, all of it or nothing.
    ///
    /// # Errors
    /// As [`Folder::replace`] and [`Replacement::commit`].
    pub fn write(&self, relative: impl AsRef<Path>, content: &[u8]) -> Result<()> {
        let mut file = self.replace(relative)?;
        std::io::Write::write_all(&mut file, content)?;
        file.commit()
    }

    /// Removes a file.
    ///
    /// # Errors
    /// It is not there, is no regular file or another user's, or cannot be removed.
    pub fn remove(&self, relative: impl AsRef<Path>) -> Result<()> {
        let (parent, name) = self.parent(relative.as_ref())?;
        let stat = status(&parent, name)?.ok_or(Errno::NOENT)?;
        check::regular(&stat, self.owner)?;
        Ok(rustix::fs::unlinkat(&parent, name, AtFlags::empty())?)
    }

    /// Removes what writers that were killed have left in `relative` (an empty path: in this
    /// folder itself). Only for a process that holds the folder's lock: another one may be writing.
    ///
    /// # Errors
    /// The folder cannot be listed, or a file not be removed.
    pub fn sweep(&self, relative: impl AsRef<Path>) -> Result<()> {
        let mut folder = self.opened()?;
        for part in parts(relative.as_ref())? {
            folder = enter(&folder, part)?;
        }
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if !crate::replace::is_temporary(name) {
                continue;
            }
            let Some(stat) = status(&folder, name)? else { continue };
            if check::regular(&stat, Owner::Own).is_ok() {
                rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
            } else if check::folder(&stat, Owner::Own).is_ok() {
                crate::tree::remove(&folder, name, Owner::Own)?;
            }
        }
        Ok(())
    }

    /// Whether anything is there: a link that leads nowhere counts.
    ///
    /// # Errors
    /// A folder on the way is a link or cannot be searched.
    pub fn exists(&self, relative: impl AsRef<Path>) -> Result<bool> {
        match self.parent(relative.as_ref()) {
            Ok((parent, name)) => Ok(status(&parent, name)?.is_some()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A folder below this one; makes it, and those on the way, where they are missing.
    ///
    /// # Errors
    /// A part of the path is a link or no folder, or cannot be made.
    pub fn make(&self, relative: impl AsRef<Path>) -> Result<Folder> {
        let relative = relative.as_ref();
        let mut folder = self.opened()?;
        for part in parts(relative)? {
            match rustix::fs::mkdirat(&folder, part, self.access.folder()) {
                Ok(()) | Err(Errno::EXIST) => folder = enter(&folder, part)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.inside(relative))
    }

    fn replacement(&self, relative: &Path, mode: Mode) -> Result<Replacement> {
        let (parent, name) = self.parent(relative)?;
        if let Some(stat) = status(&parent, name)? {
            check::regular(&stat, self.owner)?;
        }
        Replacement::begin(parent, name, mode)
    }

    fn writable(&self, relative: &Path, flags: OFlags) -> Result<File> {
        let (parent, name) = self.parent(relative)?;
        let created = rustix::fs::openat(
            &parent,
            name,
            flags | OFlags::CREATE | OFlags::EXCL | SAFE,
            self.access.file(),
        );
        match created {
            Ok(file) => Ok(file.into()),
            Err(Errno::EXIST) => {
                let file = self.open_at(&parent, name, flags)?;
                check::single_name(&rustix::fs::fstat(&file)?)?;
                Ok(file)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn open_at(&self, parent: &OwnedFd, name: &OsStr, flags: OFlags) -> Result<File> {
        // Before it is opened: opening a device can do something already.
        check::regular(&status(parent, name)?.ok_or(Errno::NOENT)?, self.owner)?;
        let file = rustix::fs::openat(parent, name, flags | SAFE, Mode::empty())?;
        // It may be another one by now.
        check::regular(&rustix::fs::fstat(&file)?, self.owner)?;
        Ok(file.into())
    }

    /// The folder that holds `relative`, and the name in it.
    pub(crate) fn parent<'a>(&self, relative: &'a Path) -> Result<(OwnedFd, &'a OsStr)> {
        let mut parts = parts(relative)?;
        let name = parts.pop().ok_or_else(|| refused("it names no file".into()))?;
        let mut folder = self.opened()?;
        for part in parts {
            folder = enter(&folder, part)?;
        }
        Ok((folder, name))
    }

    /// The folder itself.
    pub(crate) fn opened(&self) -> Result<OwnedFd> {
        let mut folder = rustix::fs::openat(CWD, self.root_path(), FOLDER, Mode::empty())?;
        for part in parts(&self.below)? {
            folder = enter(&folder, part)?;
        }
        Ok(folder)
    }

    fn root_path(&self) -> &Path {
        if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root }
    }
}

/// Lets only the owner read an open file that was there before.
///
/// # Errors
/// The file system refuses.
pub fn make_private(file: impl AsFd) -> Result<()> {
    let stat = rustix::fs::fstat(&file)?;
    if Mode::from_raw_mode(stat.st_mode).intersects(Mode::RWXG | Mode::RWXO) {
        rustix::fs::fchmod(&file, Access::Private.file())?;
    }
    Ok(())
}

const SAFE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The parts of a relative path.
fn parts(relative: &Path) -> Result<Vec<&OsStr>> {
    let part = |component| match component {
        Component::Normal(name) => Some(Ok(name)),
        Component::CurDir => None,
        Component::ParentDir => Some(Err(refused("its path has `..` in it".into()))),
        Component::RootDir | Component::Prefix(_) => {
            Some(Err(refused("its path is absolute, where a relative one belongs".into())))
        }
    };
    relative.components().filter_map(part).collect()
}

/// Opens a folder in a folder, unless it is a link.
pub(crate) fn enter(folder: &OwnedFd, name: &OsStr) -> Result<OwnedFd> {
    let error = match rustix::fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let link = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    if status(folder, name)?.is_some_and(link) {
        let name = crate::escape::escape_path(Path::new(name)).to_string();
        return Err(refused(format!(
            "the folder {name} on the way is a symbolic link, and links are not followed here: \
             put a real folder in its place"
        )));
    }
    Err(Error::from(error))
}

/// What lies there, links not followed; nothing when there is none.
pub(crate) fn status(folder: &OwnedFd, name: &OsStr) -> Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
