//! What a file must be before it is read or written: regular, one's own, not too long.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};

use rustix::fs::{FileType, Stat};

/// Whose file it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Only that of the user who runs this process.
    Own,
    /// Anybody's: for what is only read, such as a checkpoint that was downloaded.
    Any,
}

/// Refuses what is no regular file, and what is another user's where it must be one's own.
///
/// # Errors
/// `InvalidInput`, with a text that says what it is and how to mend it.
pub(crate) fn regular(stat: &Stat, owner: Owner) -> Result<()> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Symlink => Some("a symbolic link, and links are not followed here"),
        FileType::Directory => Some("a folder"),
        FileType::Fifo => Some("a named pipe (FIFO)"),
        FileType::Socket => Some("a socket"),
        _ => Some("a device"),
    };
    if let Some(kind) = kind {
        // What the user names, or only reads, need not be the user's to remove.
        let mend = match owner {
            Owner::Own => "remove it",
            Owner::Any => "a regular file is wanted",
        };
        return Err(refused(format!("it is {kind}, not a regular file: {mend}")));
    }
    own(stat, owner)
}

/// Refuses what is no folder, and what is another user's where it must be one's own.
///
/// # Errors
/// `InvalidInput`, as for [`regular`].
pub(crate) fn folder(stat: &Stat, owner: Owner) -> Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => own(stat, owner),
        FileType::Symlink => Err(refused(
            "it is a symbolic link, and links are not followed here: put a real folder in its \
             place"
                .into(),
        )),
        _ => Err(refused("it is not a folder: remove it".into())),
    }
}

/// Refuses what is another user's where it must be one's own.
///
/// # Errors
/// `InvalidInput`, as for [`regular`].
pub(crate) fn own(stat: &Stat, owner: Owner) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if owner == Owner::Own && stat.st_uid != me {
        return Err(refused(format!(
            "it belongs to user {}, and user {me} runs this: remove it, or make it yours (chown)",
            stat.st_uid
        )));
    }
    Ok(())
}

/// Refuses a file that has other names, through which something else would be written.
///
/// # Errors
/// `InvalidInput`, as for [`regular`].
pub(crate) fn single_name(stat: &Stat) -> Result<()> {
    match stat.st_nlink {
        0 | 1 => Ok(()),
        names => Err(refused(format!(
            "it has {names} names (hard links), and all of them would be written: \
             replace it by a copy"
        ))),
    }
}

/// Refuses what is longer than `limit` bytes.
///
/// # Errors
/// `InvalidInput`, with both lengths.
pub(crate) fn length(bytes: u64, limit: u64) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    Err(refused(format!("it has {bytes} bytes, and at most {limit} are read")))
}

/// The content of an open file, of at most `limit` bytes, however it grows meanwhile.
///
/// # Errors
/// As [`length`]; reading failed.
pub(crate) fn content(file: &File, limit: u64) -> Result<Vec<u8>> {
    let expected = file.metadata()?.len();
    length(expected, limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    length(bytes.len() as u64, limit)?;
    Ok(bytes)
}

/// Bytes as text.
///
/// # Errors
/// `InvalidData` when they are not UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|error| Error::new(ErrorKind::InvalidData, format!("it is not UTF-8: {error}")))
}

pub(crate) fn refused(why: String) -> Error {
    Error::new(ErrorKind::InvalidInput, why)
}
