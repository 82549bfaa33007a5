//! The bytes of pickles, read with bounds.

use std::io::Read;

use crate::error::Fault;

/// No state dictionary's pickle comes near: ten thousand tensors take 2 MB.
const MOST_BYTES: u64 = 64 << 20;
/// Module and class names.
const LONGEST_NAME: usize = 512;

/// Bytes of pickles, counted, so that a hostile stream ends.
pub(crate) struct Source<R> {
    reader: R,
    taken: u64,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(reader: R) -> Self {
        Source { reader, taken: 0 }
    }

    /// Bytes taken so far: where the stream stands.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    fn spend(&mut self, count: u64) -> Result<(), Fault> {
        self.taken = self.taken.saturating_add(count);
        if self.taken > MOST_BYTES {
            return Err(Fault::corrupt("its pickle claims more than 64 MiB"));
        }
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.spend(N as u64)?;
        self.reader.read_exact(&mut bytes).map_err(|e| Fault::io(e, "its pickle"))?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A length or memo slot of four bytes.
    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        self.array().map(u32::from_le_bytes).map(u64::from)
    }

    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Fault> {
        self.spend(count)?;
        // Grows as bytes arrive: a claim alone allocates nothing.
        let mut bytes = Vec::new();
        self.reader.by_ref().take(count).read_to_end(&mut bytes).map_err(Fault::Io)?;
        if bytes.len() as u64 != count {
            return Err(Fault::CutShort("it ends inside its pickle".to_string()));
        }
        Ok(bytes)
    }

    pub(super) fn text(&mut self, count: u64) -> Result<String, Fault> {
        String::from_utf8(self.bytes(count)?).map_err(|_| Fault::corrupt("a text is not UTF-8"))
    }

    /// A line of a class's name.
    pub(super) fn line(&mut self) -> Result<String, Fault> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                _ if line.len() == LONGEST_NAME => {
                    return Err(Fault::corrupt("a class name has no end"));
                }
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).map_err(|_| Fault::corrupt("a class name is not UTF-8"))
    }

    /// A little-endian two's complement number of `count` bytes.
    pub(super) fn long(&mut self, count: u64) -> Result<i128, Fault> {
        if count > 16 {
            return Err(Fault::corrupt(format!("a whole number of {count} bytes")));
        }
        let bytes = self.bytes(count)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..bytes.len()].copy_from_slice(&bytes);
        Ok(i128::from_le_bytes(wide))
    }
}
