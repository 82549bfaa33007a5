//! A file that is written beside its place and put there whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Error, Result, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

/// New content of a file, under a random name beside it until it is committed. Dropping it
/// without that removes it and leaves the file as it was.
#[derive(Debug)]
pub struct Replacement {
    folder: OwnedFd,
    name: OsString,
    /// Empty once it has been renamed.
    temporary: OsString,
    file: File,
}

impl Replacement {
    /// In an open folder, for the file called `name`.
    pub(crate) fn begin(folder: OwnedFd, name: &OsStr, mode: Mode) -> Result<Self> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        loop {
            let temporary = OsString::from(random_name()?);
            match rustix::fs::openat(&folder, &temporary, flags, mode) {
                Ok(file) => {
                    let (name, file) = (name.to_owned(), File::from(file));
                    return Ok(Self { folder, name, temporary, file });
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Puts it in its place, and waits until the disk has it. A link in that place is replaced,
    /// not followed.
    ///
    /// # Errors
    /// The disk is full or fails; the file is as it was.
    pub fn commit(mut self) -> Result<()> {
        self.file.sync_all()?;
        rustix::fs::renameat(&self.folder, &self.temporary, &self.folder, &self.name)?;
        self.temporary.clear();
        rustix::fs::fsync(&self.folder)?;
        Ok(())
    }
}

impl Replacement {
    /// As [`Replacement::commit`], where nothing may be there yet.
    ///
    /// # Errors
    /// `AlreadyExists` when anything is in its place by now, be it a dangling link; as for
    /// [`Replacement::commit`].
    pub fn commit_new(mut self) -> Result<()> {
        self.file.sync_all()?;
        let flags = RenameFlags::NOREPLACE;
        match renameat_with(&self.folder, &self.temporary, &self.folder, &self.name, flags) {
            Ok(()) => self.temporary.clear(),
            // Kernels before 3.15 and some file systems cannot do that, but can link.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::linkat(
                &self.folder,
                &self.temporary,
                &self.folder,
                &self.name,
                AtFlags::empty(),
            )?,
            Err(error) => return Err(error.into()),
        }
        rustix::fs::fsync(&self.folder)?;
        Ok(())
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.temporary.is_empty() {
            // Nothing more can be done about one that stays.
            let _ = rustix::fs::unlinkat(&self.folder, &self.temporary, AtFlags::empty());
        }
    }
}

const PREFIX: &str = ".partial-";
const SUFFIX: &str = ".tmp";
const DIGITS: usize = 24;

/// Whether a file or folder of this name is one that was being written when its process was
/// killed.
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let digits =
        |text: &str| text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let of_file = || name.strip_prefix(PREFIX);
    let of_folder = || Some(name.strip_prefix('.')?.strip_suffix(SUFFIX)?.rsplit_once('.')?.1);
    of_file().or_else(of_folder).is_some_and(digits)
        // As earlier versions called those of photos.
        || name.starts_with(".faceshield-") && name.ends_with(".partial")
}

/// The name of a file that nobody can foresee.
fn random_name() -> Result<String> {
    Ok(format!("{PREFIX}{}", random_digits()?))
}

/// The same of a folder that is to be called `name`.
pub(crate) fn random_folder(name: &str) -> Result<String> {
    Ok(format!(".{name}.{}{SUFFIX}", random_digits()?))
}

fn random_digits() -> Result<String> {
    let mut bytes = [0; DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
