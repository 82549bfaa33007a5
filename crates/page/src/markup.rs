//! Elements, attributes and text, escaped by construction.
//!
//! What is written is HTML and well-formed XML at once, so that one writer serves pages and charts.

use std::fmt::{Display, Write};

/// Names and values of attributes; the values are escaped.
pub(crate) type Attributes<'a> = &'a [(&'a str, &'a dyn Display)];

/// Elements written one after another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Markup(String);

impl Markup {
    /// An element and what `inner` writes into it.
    pub(crate) fn element(
        &mut self,
        name: &str,
        attributes: Attributes<'_>,
        inner: impl FnOnce(&mut Markup),
    ) {
        self.open(name, attributes, ">");
        inner(self);
        self.0.extend(["</", name, ">"]);
    }

    /// An element that has no content: one of SVG's, or of those that HTML never closes.
    pub(crate) fn leaf(&mut self, name: &str, attributes: Attributes<'_>) {
        self.open(name, attributes, "/>");
    }

    /// An element that holds text.
    pub(crate) fn with_text(&mut self, name: &str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |out| out.text(text));
    }

    /// Text.
    pub(crate) fn text(&mut self, text: &str) {
        escape(&mut self.0, text);
    }

    /// A style sheet of ours: not escaped, since HTML would not undo it.
    pub(crate) fn style(&mut self, sheet: &'static str) {
        self.0.extend(["<style>\n", sheet, "</style>\n"]);
    }

    /// A line's end, for those who read the source.
    pub(crate) fn line(&mut self) {
        self.0.push('\n');
    }

    /// What others have written.
    pub(crate) fn append(&mut self, other: &Markup) {
        self.0.push_str(&other.0);
    }

    /// All of it.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    fn open(&mut self, name: &str, attributes: Attributes<'_>, end: &str) {
        self.0.extend(["<", name]);
        for (key, value) in attributes {
            self.0.extend([" ", key, "=\""]);
            // Writing into a string does not fail.
            let _ = write!(Escaped(&mut self.0), "{value}");
            self.0.push('"');
        }
        self.0.push_str(end);
    }
}

/// Escapes what is written into it.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            // What XML may not hold, and what turns the direction of the text around it.
            '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}
