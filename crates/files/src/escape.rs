//! Foreign text in terminals and logs.

use std::fmt::{self, Display, Write};
use std::path::Path;

/// Prints a text from elsewhere (a file name, a tensor's name, another rank's words) so that it
/// stays on its line and changes nothing in a terminal: control characters, line and paragraph
/// separators and characters that reorder or hide text are printed as `\n`, `\u{1b}` and so on.
/// Everything else, the backslash included, is printed as it is.
pub fn escape(text: &str) -> impl Display + '_ {
    Escaped(text)
}

/// As [`escape()`], for a path; bytes that are not UTF-8 are printed as `\xNN`.
pub fn escape_path(path: &Path) -> impl Display + '_ {
    EscapedBytes(path.as_os_str().as_encoded_bytes())
}

/// As [`escape()`], for what need not be text; bytes that are not UTF-8 are printed as `\xNN`.
pub fn escape_bytes(bytes: &[u8]) -> impl Display + '_ {
    EscapedBytes(bytes)
}

/// A JSON text that says the same and is safe to print: JSON's own rules leave most of these
/// characters as they are. In JSON they can only stand in strings, so `\u` escapes mean them.
pub fn escape_json(json: &str) -> impl Display + '_ {
    EscapedJson(json)
}

/// How paths are printed: [`escape_path`] as a method, in the place of [`Path::display`].
pub trait Escape {
    /// The path, safe to print.
    fn escaped(&self) -> impl Display + '_;
}

impl Escape for Path {
    fn escaped(&self) -> impl Display + '_ {
        escape_path(self)
    }
}

/// Whether a character could end a line, drive a terminal, or make text read otherwise.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' // zero width, marks of direction
            | '\u{2028}'..='\u{202e}' // separators, embeddings and overrides of direction
            | '\u{2060}'..='\u{206f}' // invisible operators, isolates
            | '\u{feff}' // zero-width no-break space
            | '\u{e0000}'..='\u{e007f}') // tags
}

struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_unsafe(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

struct EscapedJson<'a>(&'a str);

impl Display for EscapedJson<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_unsafe(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(f, "\\u{unit:04x}")?;
                }
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

struct EscapedBytes<'a>(&'a [u8]);

impl Display for EscapedBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            Escaped(part.valid()).fmt(f)?;
            for byte in part.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_drives_a_terminal_is_printed_not_done() {
        let text = "a\u{1b}[2J\nb\r\t\u{9b}1m\u{202e}gpj\u{2028}\u{200b}é日\\ ";
        let expected = "a\\u{1b}[2J\\nb\\r\\t\\u{9b}1m\\u{202e}gpj\\u{2028}\\u{200b}é日\\ ";
        assert_eq!(escape(text).to_string(), expected);
    }

    #[test]
    fn bytes_that_are_no_text_are_told_apart() {
        let path = Path::new(OsStr::from_bytes(b"a\xff\n/b"));
        assert_eq!(escape_path(path).to_string(), "a\\xff\\n/b");
        assert_eq!(path.escaped().to_string(), "a\\xff\\n/b");
    }

    #[test]
    fn json_says_the_same() {
        let json = "{\"a\":\"\\n\u{7f}\u{9b}\u{202e}\u{e0041}é\"}";
        let expected = "{\"a\":\"\\n\\u007f\\u009b\\u202e\\udb40\\udc41é\"}";
        assert_eq!(escape_json(json).to_string(), expected);
    }
}
