//! Messages in a store that others can write to (torchrun's): each carries a code under the
//! run's secret, and one without is as if it were not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::escape::escape;
use crate::secret::Secret;

/// Length of a code in hexadecimal.
const DIGITS: usize = 64;
const PURPOSE: &str = "message";

/// Seals the messages of one run, or of one attempt of it. The code covers the run, the attempt,
/// the whole key and the value: a message means nothing under another key, in another attempt
/// or in another run.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    secret: Secret,
    run: String,
    attempt: String,
    /// Before all keys.
    prefix: String,
    /// A false message has been told of.
    warned: Arc<AtomicBool>,
}

impl Seal {
    pub(crate) fn new(secret: Secret, run: &str) -> Seal {
        let (run, none) = (run.to_owned(), String::new);
        Seal { secret, run, attempt: none(), prefix: none(), warned: Arc::default() }
    }

    /// For keys below `prefix`, which are those of attempt `attempt`.
    pub(crate) fn below(&self, prefix: &str, attempt: &str) -> Seal {
        let prefix = format!("{}{prefix}/", self.prefix);
        Seal { attempt: attempt.to_owned(), prefix, ..self.clone() }
    }

    /// The message as it is written.
    pub(crate) fn close(&self, key: &str, value: &str) -> String {
        let tag = self.parts(key, value, |parts| self.secret.tag(PURPOSE, parts));
        let digits = tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{digits} {value}")
    }

    /// The message in what was read, if it is genuine. The first time that it is not, this is
    /// logged.
    pub(crate) fn open(&self, key: &str, text: &[u8]) -> Option<String> {
        let value = self.genuine(key, text);
        if value.is_none() && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "`{}` in this run's store was not written by a process of this run and is \
                 ignored, as others will be: a stranger can reach the store, or a process of \
                 this run has another {} or none",
                escape(&format!("{}{key}", self.prefix)),
                crate::secret::VARIABLE
            );
        }
        value
    }

    fn genuine(&self, key: &str, text: &[u8]) -> Option<String> {
        let (digits, value) = std::str::from_utf8(text).ok()?.split_at_checked(DIGITS)?;
        let value = value.strip_prefix(' ')?;
        let mut tag = [0; DIGITS / 2];
        for (byte, pair) in tag.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        self.parts(key, value, |parts| self.secret.verifies(&tag, PURPOSE, parts))
            .then(|| value.to_owned())
    }

    fn parts<T>(&self, key: &str, value: &str, then: impl FnOnce(&[&[u8]]) -> T) -> T {
        let key = format!("{}{key}", self.prefix);
        then(&[self.run.as_bytes(), self.attempt.as_bytes(), key.as_bytes(), value.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_message_holds_for_its_key_its_attempt_and_its_run_only() {
        let secret = Secret::random().unwrap();
        let seal = |run: &str, prefix: &str, attempt: &str| {
            Seal::new(secret.clone(), run).below(prefix, attempt)
        };
        let mine = seal("run", "p", "0");
        let text = mine.close("missed", "1 was ended");
        let open = |seal: &Seal, key: &str| seal.open(key, text.as_bytes());
        assert_eq!(open(&mine, "missed").unwrap(), "1 was ended");
        assert_eq!(open(&mine, "failed"), None);
        for other in [seal("nur", "p", "0"), seal("run", "q", "0"), seal("run", "p", "1")] {
            assert_eq!(open(&other, "missed"), None);
        }
        let stranger = Seal::new(Secret::random().unwrap(), "run").below("p", "0");
        assert_eq!(open(&stranger, "missed"), None);
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] ^= 1;
            assert_eq!(mine.open("missed", &altered), None, "{at}");
        }
        for text in ["", "1 was ended", &"0".repeat(65), &"ä".repeat(64), &format!("{text} ")] {
            assert_eq!(mine.open("missed", text.as_bytes()), None);
        }
    }
}
