//! Files out of a package's archive, into the cache, checked by SHA-256.

use std::collections::BTreeMap;
use std::fs::File as Opened;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::{Error, File, Kind, Package};
use crate::hex;

/// Bytes that an archive may unpack to. The largest that is used has a quarter of them.
const MAX_UNPACKED: u64 = 256 << 20;

/// Where a file lies in the cache.
pub(crate) fn cached(wanted: &File, cache: &Path) -> PathBuf {
    cache.join(wanted.name())
}

/// The files that the cache lacks or holds with another content.
pub(crate) fn missing<'a>(package: &'a Package, cache: &Path) -> Vec<&'a File> {
    let good = |wanted: &File| {
        let file = cached(wanted, cache);
        let size = file.metadata().map(|metadata| metadata.len()).ok();
        size == Some(wanted.bytes) && std::fs::read(file).is_ok_and(|bytes| fits(wanted, &bytes))
    };
    package.files.iter().filter(|wanted| !good(wanted)).collect()
}

fn fits(wanted: &File, bytes: &[u8]) -> bool {
    bytes.len() as u64 == wanted.bytes && hex(&Sha256::digest(bytes)) == wanted.sha256
}

/// Takes the files of `package` out of its archive `file`.
pub(crate) fn extract(package: &Package, file: &Path, cache: &Path) -> Result<(), Error> {
    let found = match package.kind {
        Kind::Wheel => from_zip(package, file),
        Kind::Sdist | Kind::Npm => from_tar_gz(package, file),
    };
    let wrong = |reason: String| Error::Package { package: package.title(), reason };
    let found = found.map_err(|error| wrong(crate::error::one_line(&error.to_string())))?;
    for wanted in &package.files {
        match found.get(&wanted.path) {
            None => return Err(wrong(format!("{} is not in it", wanted.path))),
            Some(bytes) if fits(wanted, bytes) => {
                let target = cached(wanted, cache);
                write_whole(&target, bytes).map_err(Error::io(&target))?;
            }
            Some(_) => return Err(wrong(format!("{} has another SHA-256", wanted.path))),
        }
    }
    Ok(())
}

type Found = BTreeMap<String, Vec<u8>>;

fn from_zip(package: &Package, file: &Path) -> std::io::Result<Found> {
    let mut zip = zip::ZipArchive::new(BufReader::new(Opened::open(file)?))?;
    let mut found = Found::new();
    for wanted in &package.files {
        match zip.by_name(&wanted.path) {
            Ok(entry) => found.insert(wanted.path.clone(), read_bounded(entry, wanted)?),
            Err(zip::result::ZipError::FileNotFound) => None,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(found)
}

fn from_tar_gz(package: &Package, file: &Path) -> std::io::Result<Found> {
    let unpacked = GzDecoder::new(BufReader::new(Opened::open(file)?));
    let mut tar = tar::Archive::new(Bounded { inner: unpacked, left: MAX_UNPACKED });
    let mut found = Found::new();
    for entry in tar.entries()? {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = match package.kind {
            // A source archive's one folder is named after the version.
            Kind::Sdist => path.split_once('/').map_or(path.as_str(), |(_, rest)| rest),
            _ => &path,
        };
        if let Some(wanted) = package.files.iter().find(|wanted| wanted.path == path) {
            found.insert(wanted.path.clone(), read_bounded(entry, wanted)?);
        }
    }
    Ok(found)
}

/// A reader that refuses to go on beyond `left` bytes: a tar archive's long names are read into
/// memory, its other entries unpacked even where they are passed over.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            std::io::Error::other(format!("it unpacks to more than {} MiB", MAX_UNPACKED >> 20))
        })?;
        Ok(read)
    }
}

/// Reads one byte more than expected at most: enough to fail the check, however much a
/// forged archive unpacks to.
fn read_bounded(entry: impl Read, wanted: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(wanted.bytes + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes beside `path`, syncs and renames.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = atomic_write_file::AtomicWriteFile::open(path)?;
    file.write_all(bytes)?;
    file.commit()
}
