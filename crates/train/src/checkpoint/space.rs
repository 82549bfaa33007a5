//! Room on the disk, looked at before the first step and not after the first hour.

use crate::Error;
use std::path::Path;

/// Whether the disk of `folder` has room for two checkpoints of `bytes` each: the one that is
/// kept and the one that is being written.
///
/// # Errors
/// Says how much is missing and where.
pub(crate) fn check(folder: &Path, bytes: u64) -> Result<(), Error> {
    let stat = rustix::fs::statvfs(folder)
        .map_err(|error| Error::file("look at the disk of", folder)(error.into()))?;
    let (needed, free) = (bytes.saturating_mul(2), stat.f_bavail.saturating_mul(stat.f_frsize));
    if needed <= free {
        return Ok(());
    }
    let mega = |bytes: u64| bytes.div_ceil(1_000_000);
    Err(Error::NoRoom { folder: folder.into(), needed: mega(needed), free: mega(free) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_must_be_room_for_two() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path(), 1).unwrap();
        let stat = rustix::fs::statvfs(folder.path()).unwrap();
        // One would fit.
        let bytes = stat.f_bavail * stat.f_frsize / 10 * 6;
        let message = check(folder.path(), bytes).unwrap_err().to_string();
        assert!(message.contains(folder.path().to_str().unwrap()), "{message}");
        assert!(check(&folder.path().join("absent"), 1).is_err());
    }
}
