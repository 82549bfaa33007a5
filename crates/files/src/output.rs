//! Files that the user names to be written: beside their place, then renamed, so that they are whole
//! or as they were.
//!
//! The folders on the way are the user's choice, and links there are followed. What is to be
//! replaced must be a regular file of the user's own; who else may read the new one is said here and
//! not by the umask alone.

use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

use crate::{Folder, Replacement};

/// Begins to write a file that only its owner may read (0600).
///
/// # Errors
/// As [`Folder::replace`]; the folder it lies in is missing.
pub fn replace(path: &Path) -> Result<Replacement> {
    let none = || Error::new(ErrorKind::InvalidInput, "it names no file");
    let name = path.file_name().ok_or_else(none)?;
    Folder::at(path.parent().unwrap_or(Path::new(""))).replace(name)
}

/// Writes such a file.
///
/// # Errors
/// As [`replace`] and [`Replacement::commit`].
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = replace(path)?;
    file.write_all(content)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn only_the_owner_may_read_it_and_no_link_is_written_through() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("file");
        write(&path, b"text").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        // One that all could read no longer is.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(mode(&path), 0o600);

        let link = outer.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(write(&link, b"other").unwrap_err().to_string().contains("symbolic link"));
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(write(Path::new("/dev/null"), b"").is_err());
        assert!(write(Path::new("/"), b"").is_err());
    }
}
