//! How much room text takes: estimated, since fonts are the reader's.

/// About how wide text is, in pixels, at a font size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size
}

/// The text, or its beginning and its end around `…`: names of files differ at either.
pub(super) fn fitted(text: &str, room: f64, size: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let half = (room / size - advance('…')) / 2.0;
    let fits = |used: &mut f64, c: char| {
        *used += advance(c);
        (*used <= half).then_some(c)
    };
    let start: String = text.chars().scan(0.0, fits).collect();
    let end: Vec<char> = text.chars().rev().scan(0.0, fits).collect();
    format!("{}…{}", start.trim_end(), end.iter().rev().collect::<String>().trim_start())
}

/// The text in lines that there is room for, broken between words.
pub(super) fn wrapped(text: &str, room: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = fitted(word, room, size);
        match lines.last_mut() {
            Some(line) if width(line, size) + width(&word, size) + advance(' ') * size <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// The width of a character in font sizes: generous, so that text fits wide fonts too.
fn advance(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | ' ' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' => 0.33,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '/' | '-' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '−' | '×' => 0.85,
        'A'..='Z' => 0.7,
        // Han, Kana, Hangul, full-width forms, pictographs.
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{d7ff}' | '\u{ff00}'.. => 1.05,
        _ => 0.6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_broken_to_fit() {
        assert_eq!(fitted("short", 100.0, 12.0), "short");
        let cut = fitted(&"long ".repeat(20), 100.0, 12.0);
        assert!(cut.contains('…') && width(&cut, 12.0) <= 100.0, "{cut}");
        let lines = wrapped("a few words of various length, one Donaudampfschiffahrt", 90.0, 12.0);
        assert!(lines.len() > 3 && lines.iter().all(|line| width(line, 12.0) <= 90.0), "{lines:?}");
        assert!(wrapped(" ", 90.0, 12.0).is_empty());
    }
}
