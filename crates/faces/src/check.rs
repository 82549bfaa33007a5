//! Decodes every image of a data set in full: `faceshield data check`.

use serde::Serialize;

use crate::index::{BadFile, Progress, bad_file, for_each};
use crate::links::{FoundLinks, Root};
use crate::listing::Entry;
use crate::{Error, picture};

/// What a full check found.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Folders that hold at least one readable image.
    pub people: usize,
    /// Readable images.
    pub images: usize,
    /// Readable images whose sides differ.
    pub not_square: usize,
    /// Files that cannot be read, sorted by path, each with its reason.
    pub bad: Vec<BadFile>,
    /// The symbolic links among the files.
    pub links: FoundLinks,
}

/// Decodes every image below `root`, on all cores. Unreadable files are a finding, not
/// an error, even when nothing else is there.
///
/// # Errors
/// No such folder, or no image files in it; [`Error::System`].
pub fn check<'a>(
    root: impl Into<Root<'a>>,
    progress: Option<Progress<'_>>,
) -> Result<CheckReport, Error> {
    let listing = root.into().list()?;
    let read = |entry: &Entry| match picture::read_photo(&listing.root.join(&entry.path)) {
        Err(error) if !matches!(error, Error::Image { .. }) => Err(error),
        image => Ok(image.map(|image| image.dimensions())),
    };
    let sizes: Vec<_> = for_each::<_, _, Result<_, _>>(&listing.entries, progress, read)?;
    let (bad, links) = (listing.bad, listing.links);
    let mut report = CheckReport { people: 0, images: 0, not_square: 0, bad, links };
    let mut last_person = None;
    for (entry, size) in listing.entries.into_iter().zip(sizes) {
        match size {
            Ok((width, height)) => {
                report.images += 1;
                report.not_square += usize::from(width != height);
                if last_person.as_ref() != Some(&entry.person) {
                    report.people += 1;
                    last_person = Some(entry.person);
                }
            }
            Err(error) => report.bad.push(bad_file(entry.path, error)),
        }
    }
    report.bad.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(report)
}
