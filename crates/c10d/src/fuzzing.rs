//! What reads bytes of other processes, for `fuzz/checks/launch_message.rs`. Not part of the
//! interface.

use std::io::{self, Cursor, Read, Write};
use std::sync::LazyLock;

pub use crate::wire::{Request, Verb};

use crate::seal::Seal;
use crate::secret::Secret;
use crate::{Pulse, Report, wire};

static SECRET: LazyLock<Secret> = LazyLock::new(|| {
    Secret::read(|_| Some("0123456789abcdef".into())).ok().flatten().expect("a secret")
});
static SEAL: LazyLock<Seal> =
    LazyLock::new(|| Seal::new(SECRET.clone(), "run").below("below", "0"));

/// A rank's report on itself or another.
pub fn report(text: &str) -> Option<Report> {
    Report::read(text)
}

/// A rank's sign of life, and how it would be written.
pub fn pulse(text: &str) -> Option<(Pulse, String)> {
    Pulse::read(text).map(|pulse| (pulse, pulse.write()))
}

/// A sealed message under `key`.
pub fn open(key: &str, bytes: &[u8]) -> Option<String> {
    SEAL.open(key, bytes)
}

/// `value`, sealed.
pub fn close(key: &str, value: &str) -> String {
    SEAL.close(key, value)
}

/// Whether a keeper lets a client in that sends `bytes`.
pub fn admits(bytes: &[u8]) -> bool {
    wire::admit(&mut Peer(Cursor::new(bytes)), &SECRET).is_ok()
}

/// Whether a client takes a keeper that sends `bytes` for its own.
pub fn greets(bytes: &[u8]) -> bool {
    wire::greet(&mut Peer(Cursor::new(bytes)), &SECRET).is_ok()
}

/// Sends some bytes, and reads whatever it is told.
struct Peer<'a>(Cursor<&'a [u8]>);

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
