//! Symbolic links in folders of photos: followed or skipped, and told of.
//!
//! Data sets are often farms of links, so they are followed unless one says otherwise. But a folder
//! from elsewhere can hold links to any file of the user's, whose content would then be trained on,
//! shown in reports or copied into results: links that lead out of the folder are counted.

use std::path::{Path, PathBuf};

use files::Escape;
use serde::Serialize;

use crate::Error;
use crate::listing::Listing;

/// Links that are named; of more the first are.
const NAMED: usize = 5;

/// What is done with symbolic links below a folder. The folder itself may always be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// They are followed, wherever they lead.
    #[default]
    Follow,
    /// They are left out.
    Skip,
}

/// A data set's folder, and what is done with links in it. A path alone means [`Links::Follow`].
#[derive(Clone, Copy, Debug)]
pub struct Root<'a> {
    /// The folder.
    pub path: &'a Path,
    /// What is done with links.
    pub links: Links,
}

impl Root<'_> {
    pub(crate) fn list(self) -> Result<Listing, Error> {
        Listing::read(self.path, self.links)
    }
}

impl<'a> From<&'a Path> for Root<'a> {
    fn from(path: &'a Path) -> Self {
        Root { path, links: Links::default() }
    }
}

impl<'a> From<&'a PathBuf> for Root<'a> {
    fn from(path: &'a PathBuf) -> Self {
        path.as_path().into()
    }
}

/// The symbolic links that were found below a folder: those that lead out of it where links are
/// followed, all where they are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FoundLinks {
    #[serde(skip)]
    root: PathBuf,
    /// They were left out.
    skipped: bool,
    count: usize,
    /// The first few, and where they lead.
    #[serde(skip)]
    first: Vec<String>,
}

impl FoundLinks {
    /// None yet, below `root`.
    pub fn new(root: &Path, links: Links) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        FoundLinks { root, skipped: links == Links::Skip, ..Self::default() }
    }

    /// Whether links are followed.
    pub fn followed(&self) -> bool {
        !self.skipped
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes note of the link `path`, below the folder.
    pub fn add(&mut self, path: &Path) {
        let target = path.canonicalize();
        if self.followed() && target.as_ref().is_ok_and(|target| target.starts_with(&self.root)) {
            return;
        }
        self.count += 1;
        tracing::debug!("link: {}", path.escaped());
        if self.first.len() < NAMED {
            let to = target.or_else(|_| std::fs::read_link(path)).unwrap_or_default();
            self.first.push(format!("{} -> {}", path.escaped(), to.escaped()));
        }
    }

    /// One line about them; nothing where there are none.
    pub fn note(&self) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let links = if self.count == 1 { "link" } else { "links" };
        let (count, named) = (self.count, self.first.join(", "));
        let more = if self.count > self.first.len() { ", …" } else { "" };
        Some(match self.skipped {
            true => format!("{count} symbolic {links} skipped: {named}{more}"),
            false => format!(
                "{count} symbolic {links} that lead out of {} followed: {named}{more} (--no-follow \
                 skips links)",
                self.root.escaped()
            ),
        })
    }
}
