//! The secret that the processes of a run share, and what is computed under it.

use std::fmt;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::{FileType, Mode, OFlags};
use sha2::Sha256;

use crate::{Error, Result};

/// Holds the secret itself.
pub(crate) const VARIABLE: &str = "FACESHIELD_RUN_SECRET";
/// Holds the path of a file that holds it.
pub(crate) const FILE_VARIABLE: &str = "FACESHIELD_RUN_SECRET_FILE";
/// Shorter ones could be guessed: the store lets anyone who reaches it check a guess offline.
const SHORTEST: usize = 16;
/// More of a file is not read.
const LONGEST: usize = 4096;

/// A code that only those who know the secret can compute.
pub(crate) type Tag = [u8; 32];

/// What the processes of one run know, and nobody else. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one, from the system's source of randomness.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the system has none.
    pub fn random() -> Result<Secret> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| {
            Error::Unsupported(format!("the system gives no random numbers: {error}"))
        })?;
        // As text, for it travels in the environment.
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Secret(text.into_bytes()))
    }

    /// The one in `FACESHIELD_RUN_SECRET`, or in the file that `FACESHIELD_RUN_SECRET_FILE`
    /// names; `None` where neither is set.
    ///
    /// # Errors
    /// [`Error::BadEnvironment`] for a secret of fewer than 16 characters, or a file that cannot
    /// be read, is not this user's or can be read by others.
    pub fn from_env() -> Result<Option<Secret>> {
        Secret::read(variable)
    }

    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Secret>> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        match (get(VARIABLE), get(FILE_VARIABLE)) {
            (None, None) => Ok(None),
            (Some(text), _) => Secret::new(text.as_bytes(), VARIABLE).map(Some),
            (None, Some(path)) => {
                let bytes = read_file(Path::new(&path)).map_err(|why| {
                    Error::BadEnvironment(format!("{FILE_VARIABLE}={path}: {why}"))
                })?;
                Secret::new(&bytes, &path).map(Some)
            }
        }
    }

    fn new(bytes: &[u8], from: &str) -> Result<Secret> {
        let bytes = bytes.trim_ascii();
        if bytes.len() < SHORTEST || bytes.contains(&0) || std::str::from_utf8(bytes).is_err() {
            return Err(Error::BadEnvironment(format!(
                "{from} does not hold a secret of at least {SHORTEST} characters: make one with \
                 `openssl rand -hex 32`"
            )));
        }
        Ok(Secret(bytes.to_vec()))
    }

    /// The variable that hands it to a process of the run.
    pub fn variable(&self) -> (&'static str, String) {
        (VARIABLE, String::from_utf8_lossy(&self.0).into_owned())
    }

    /// The code of these parts, each of which counts with its length, for the use `purpose`.
    pub(crate) fn tag(&self, purpose: &str, parts: &[&[u8]]) -> Tag {
        self.code(purpose, parts).finalize().into_bytes().into()
    }

    /// Whether `tag` is that code. Takes equally long for all wrong ones.
    pub(crate) fn verifies(&self, tag: &[u8], purpose: &str, parts: &[&[u8]]) -> bool {
        self.code(purpose, parts).verify_slice(tag).is_ok()
    }

    /// The key for one direction of one connection.
    pub(crate) fn derive(&self, purpose: &str, parts: &[&[u8]]) -> Secret {
        Secret(self.tag(purpose, parts).to_vec())
    }

    fn code(&self, purpose: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        // The type knows keys of the wrong length; HMAC has none.
        let mut code = match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(code) => code,
            Err(_) => unreachable!("HMAC takes keys of any length"),
        };
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            code.update(&(part.len() as u64).to_le_bytes());
            code.update(part);
        }
        code
    }
}

/// A variable of this process. One that is no Unicode is not taken for one that is not there.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// A file of this user's that nobody else can read. Opening it never waits.
fn read_file(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| error.to_string())?;
    let status = rustix::fs::fstat(&file).map_err(|error| error.to_string())?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err("is not a regular file".into());
    }
    if status.st_uid != rustix::process::geteuid().as_raw() {
        return Err("belongs to another user: the secret must be in a file of your own".into());
    }
    if status.st_mode & 0o077 != 0 {
        return Err(
            "can be read or written by others: `chmod 600` it, and make a new secret".into()
        );
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(LONGEST as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_code_is_hmac_sha256_of_parts_that_cannot_be_shifted() {
        let secret = Secret::random().unwrap();
        let tag = secret.tag("a", &[b"bc", b"d"]);
        assert!(secret.verifies(&tag, "a", &[b"bc", b"d"]));
        assert!(!secret.verifies(&tag, "a", &[b"b", b"cd"]));
        assert!(!secret.verifies(&tag, "ab", &[b"c", b"d"]));
        assert!(!secret.verifies(&tag[..31], "a", &[b"bc", b"d"]));
        assert!(!Secret::random().unwrap().verifies(&tag, "a", &[b"bc", b"d"]));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn a_secret_comes_from_the_environment_or_a_private_file() {
        let path = std::env::temp_dir().join(format!("c10d-secret-{}", std::process::id()));
        let text = "0123456789abcdef";
        std::fs::write(&path, format!("{text}\n")).unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let path = path.to_str().unwrap().to_owned();
            Secret::read(|name| (name == FILE_VARIABLE).then(|| path.clone()))
        };
        let read = mode(0o600).unwrap();
        assert_eq!(read, Secret::read(|name| (name == VARIABLE).then(|| text.into())).unwrap());
        assert_eq!(read.unwrap().variable().1, text);
        let error = mode(0o640).unwrap_err().to_string();
        assert!(error.contains("can be read or written by others"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = Secret::read(|_| Some("short".into())).unwrap_err().to_string();
        assert!(error.contains("at least 16") && !error.contains("short"), "{error}");
        let folder = |name: &str| (name == FILE_VARIABLE).then(|| "/".to_owned());
        assert!(Secret::read(folder).unwrap_err().to_string().contains("not a regular file"));
        assert_eq!(Secret::read(|_| None).unwrap(), None);
    }
}
