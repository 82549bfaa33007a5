//! Files in folders that somebody else may have filled.
//!
//! What a program finds in its output folder need not be its own: an unpacked archive or another
//! user may have put a link, a FIFO or a device where a record is expected. Everything that is
//! read back, appended to or replaced goes through [`Folder`], whose paths are relative and never
//! follow a link. Files that the user names go through [`input`], which follows links, but waits
//! for nothing and reads no more than it is allowed to, and [`output`], which replaces files whole.
//! Names and texts from such files are
//! printed through [`escape()`].
//!
//! Errors are [`std::io::Error`]s whose text says what is wrong and how to mend it, but not which
//! path it concerns: the caller adds that.

pub mod escape;
pub mod folder;
pub mod input;
pub mod key;
pub mod output;
pub mod tree;

mod access;
mod check;
mod replace;

pub use escape::{Escape, escape};
pub use folder::Folder;
pub use key::{Key, sha256};
pub use replace::Replacement;
