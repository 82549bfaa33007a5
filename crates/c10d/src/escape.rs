//! Texts of other processes, made fit to print.

/// The most characters that are kept of such a text.
const LONGEST: usize = 1000;

/// `text` as one line that changes nothing in a terminal ([`files::escape()`]), of its first 1000
/// characters.
pub fn escape(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", files::escape(&text[..end])),
        None => files::escape(text).to_string(),
    }
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
