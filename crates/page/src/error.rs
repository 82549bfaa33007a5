//! Why a page could not be made or written.

use std::path::PathBuf;

/// What went wrong with a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be written. What was at `path` before is still there.
    #[error("cannot write {}", path.display())]
    Write {
        /// The page's file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture could not be encoded as PNG.
    #[error("cannot encode picture {column} of row {row:?} as PNG")]
    Picture {
        /// The row's name.
        row: String,
        /// The picture's place in the row, from 0.
        column: usize,
        /// Why.
        source: image::ImageError,
    },
}
