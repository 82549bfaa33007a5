//! Texts of other processes, made fit to print.

use std::fmt::Write;

/// The most characters that are kept of such a text.
const LONGEST: usize = 1000;

/// `text` as one line without control characters: those, and the characters that change the
/// direction of writing, are written as escapes, so that nobody else's words can move the
/// cursor, colour a terminal, or begin a line of their own in a log. At most 1000 characters
/// are kept.
pub fn escape(text: &str) -> String {
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            line.push('…');
            break;
        }
        let hidden = matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        if character.is_control() || hidden {
            // Writing to a string cannot fail.
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_or_ends_a_line_is_left() {
        assert_eq!(escape("rank 1: größe ½, \"x\" \\ 'y'"), "rank 1: größe ½, \"x\" \\ 'y'");
        assert_eq!(escape("a\nerror: b\r\x1b[2J\t\0"), "a\\nerror: b\\r\\u{1b}[2J\\t\\u{0}");
        // CSI as one character, right-to-left override, zero-width space.
        assert_eq!(escape("\u{9b}2J\u{202e}\u{200b}"), "\\u{9b}2J\\u{202e}\\u{200b}");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(escape(&"ä".repeat(5000)).chars().count(), LONGEST + 1);
        assert_eq!(escape(&"ä".repeat(LONGEST)), "ä".repeat(LONGEST));
    }
}
