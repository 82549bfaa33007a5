//! A reader that hands out no more than it was allowed to.

use std::cell::Cell;
use std::io::{Error, Read, Result, Seek, SeekFrom};
use std::rc::Rc;

/// Counts what is read through it, and fails beyond the allowance.
///
/// The zip crate keeps a record of several hundred bytes for each entry of a directory, of which
/// a file can hold a million. What it may read while it opens an archive bounds these.
pub(super) struct Bounded<R> {
    reader: R,
    left: Rc<Cell<u64>>,
}

impl<R> Bounded<R> {
    /// A reader of at most `bytes`, and the allowance, which can be raised later.
    pub(super) fn new(reader: R, bytes: u64) -> (Self, Rc<Cell<u64>>) {
        let left = Rc::new(Cell::new(bytes));
        (Self { reader, left: Rc::clone(&left) }, left)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(Error::other("it is longer than any that torch.save writes"));
        }
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.reader.read(&mut buffer[..length])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.reader.seek(to)
    }
}
