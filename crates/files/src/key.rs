//! A secret of the user on this machine, which tells own records from those of others.
//!
//! A record that lies in an output folder says what may be skipped and what may be replaced. It
//! can come from elsewhere: with an unpacked archive, on a shared disk. Lines that carry a message
//! authentication code under this key were written by this user's programs.

use std::io::{Error, ErrorKind, Read, Result};
use std::path::PathBuf;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::Folder;

/// Bytes of the key, and of a code.
const LENGTH: usize = 32;
const NAME: &str = "key";

/// A secret of 32 random bytes.
#[derive(Clone)]
pub struct Key([u8; LENGTH]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// The user's key: read from `key` in the user's state folder ([`state_folder`]), and made
    /// there the first time.
    ///
    /// # Errors
    /// There is no state folder, or the key can neither be read nor made; it is no regular file of
    /// the user's own.
    pub fn of_user() -> Result<Key> {
        let missing = "neither XDG_STATE_HOME nor HOME names a folder for the user's key";
        let folder = state_folder().ok_or_else(|| Error::new(ErrorKind::NotFound, missing))?;
        Self::in_folder(&Folder::create(folder)?)
    }

    /// A key that nobody keeps: for a process that has no place for a lasting one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<Key> {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).map_err(Error::other)?;
        Ok(Key(bytes))
    }

    fn in_folder(folder: &Folder) -> Result<Key> {
        match Self::read(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
        let mut file = folder.replace(NAME)?;
        std::io::Write::write_all(&mut file, &Self::random()?.0)?;
        match file.commit_new() {
            // Another process was faster: its key is the one.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Self::read(folder),
        }
    }

    fn read(folder: &Folder) -> Result<Key> {
        let bytes = folder.read(NAME, LENGTH as u64)?;
        let bytes = <[u8; LENGTH]>::try_from(bytes).map_err(|bytes| {
            let length = bytes.len();
            Error::new(ErrorKind::InvalidData, format!("a key of {length} bytes: remove it"))
        })?;
        Ok(Key(bytes))
    }

    /// The code of a message (HMAC-SHA256), in 64 hexadecimal digits.
    ///
    /// # Arguments
    /// * `purpose` - what the message is; a code for one purpose is none for another.
    pub fn sign(&self, purpose: &str, message: &[u8]) -> String {
        hexadecimal(&self.code(purpose, message).finalize().into_bytes())
    }

    /// Whether `code` is that of the message.
    pub fn verifies(&self, purpose: &str, message: &[u8], code: &str) -> bool {
        let digit = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = code.as_bytes().chunks(2).map(digit).collect();
        // Compared in constant time.
        bytes.is_some_and(|bytes| self.code(purpose, message).verify_slice(&bytes).is_ok())
    }

    fn code(&self, purpose: &str, message: &[u8]) -> Hmac<Sha256> {
        // A block of SHA-256: HMAC fills shorter keys with zeros.
        let mut block = [0; 64];
        block[..LENGTH].copy_from_slice(&self.0);
        let mut code = Hmac::<Sha256>::new(&block.into());
        code.update(purpose.as_bytes());
        code.update(&[0]);
        code.update(message);
        code
    }
}

/// Where what must outlast a run lies: `$FACESHIELD_STATE`, else `faceshield` in
/// `$XDG_STATE_HOME` or in `~/.local/state`. None where no variable is set.
pub fn state_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("FACESHIELD_STATE") {
        return Some(folder.into());
    }
    let xdg = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(variable("HOME")?).join(".local/state"));
    Some(xdg.or_else(home)?.join("faceshield"))
}

/// SHA-256 of all that is left to read, in 64 hexadecimal digits.
///
/// # Errors
/// Reading failed.
pub fn sha256(mut source: impl Read) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hexadecimal(&hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_call_makes_the_key_and_all_others_read_it() {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::create(outer.path().join("state/faceshield")).unwrap();
        let keys: Vec<Key> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Key::in_folder(&folder).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.0 == keys[0].0));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::write(folder.path().join(NAME), "short").unwrap();
        assert!(Key::in_folder(&folder).unwrap_err().to_string().contains("5 bytes"));
    }

    #[test]
    fn content_has_one_digest() {
        // printf abc | sha256sum
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc"[..]).unwrap(), expected);
        let long = vec![7; 200_000];
        let whole: String = hexadecimal(&Sha256::digest(&long));
        assert_eq!(sha256(&long[..]).unwrap(), whole);
    }

    #[test]
    fn a_code_holds_for_one_key_purpose_and_message() {
        let key = Key(*b"01234567890123456789012345678901");
        let code = key.sign("record", b"message");
        // python3 -c 'import hmac; print(hmac.new(b"01234567890123456789012345678901",
        //     b"record\0message", "sha256").hexdigest())'
        assert_eq!(code, "19b602122ad9b33377d063e887eb3359b11f5392f99d0d03c1fbce76f97e5b7d");
        assert!(key.verifies("record", b"message", &code));
        assert!(!key.verifies("record", b"massage", &code));
        assert!(!key.verifies("ledger", b"message", &code));
        assert!(!Key::random().unwrap().verifies("record", b"message", &code));
        for code in ["", "0", "zz", &code[..62], &format!("{code}00"), "é"] {
            assert!(!key.verifies("record", b"message", code), "{code}");
        }
    }
}
