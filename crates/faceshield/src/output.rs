//! What commands print on stdout: text lines, or one JSON object.
//!
//! Everything that goes there passes through here, and so do all names that others chose (files,
//! tensors, people): control characters in them are printed escaped. What is to be several lines is
//! printed by several calls.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use files::Escape;
use serde::{Serialize, Serializer};

/// Prints one line; unlike `println!` it reports a closed pipe instead of panicking.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", files::escape(&text.to_string()))
}

/// Prints one JSON object on one line.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    Ok(line(files::escape::escape_json(&text))?)
}

/// A path as a JSON string has it: as it is, or escaped where it is not UTF-8, which JSON cannot
/// hold.
pub(crate) fn path_text(path: &Path) -> String {
    path.to_str().map_or_else(|| path.escaped().to_string(), str::to_owned)
}

/// The same for fields: `#[serde(serialize_with = "crate::output::path")]`.
pub(crate) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path_text(path))
}

/// As [`path`], for a field that may have none.
pub(crate) fn some_path<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    path.as_deref().map(path_text).serialize(serializer)
}

/// Prints a TOML table.
pub(crate) fn toml(table: toml::Table) -> anyhow::Result<()> {
    let mut table = toml::Value::Table(table);
    let mut texts = Vec::new();
    take_unsafe_texts(&mut table, &mut texts);
    // A value that is a table would be written inline.
    let mut text = toml::to_string(&table)?;
    for (number, taken) in texts.iter().enumerate() {
        // A string of JSON is one of TOML too, and never of several lines.
        let taken = serde_json::to_string(taken)?;
        let taken = files::escape::escape_json(&taken).to_string();
        text = text.replace(&format!("\"{}\"", stand_in(number)), &taken);
    }
    Ok(text.trim_end().lines().try_for_each(line)?)
}

/// Takes texts that cannot be printed as they are out of a value, and puts stand-ins there.
fn take_unsafe_texts(value: &mut toml::Value, texts: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if *text != files::escape(text).to_string() => {
            let stand_in = stand_in(texts.len());
            texts.push(std::mem::replace(text, stand_in));
        }
        toml::Value::Array(items) => {
            items.iter_mut().for_each(|item| take_unsafe_texts(item, texts));
        }
        toml::Value::Table(table) => {
            table.iter_mut().for_each(|(_, item)| take_unsafe_texts(item, texts));
        }
        _ => {}
    }
}

/// A text that means nothing to anybody: of a private character.
fn stand_in(number: usize) -> String {
    format!("\u{e000}{number}\u{e000}")
}

/// Bytes as people read them: `1.5 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / (1 << 20) as f64;
    if megabytes < 10.0 {
        format!("{megabytes:.2} MB")
    } else if megabytes < 10_240.0 {
        format!("{megabytes:.0} MB")
    } else {
        format!("{:.1} GB", megabytes / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_of_a_table_are_replaced_and_no_others() {
        let text = "a = \"x\\nerror: y\"\nb = [\"ok\", \"\\u001b\"]\n[c]\nd = \"\\u0085\"\n";
        let mut table = toml::Value::Table(text.parse().unwrap());
        let mut texts = Vec::new();
        take_unsafe_texts(&mut table, &mut texts);
        assert_eq!(texts, ["x\nerror: y", "\u{1b}", "\u{85}"]);
        let text = toml::to_string(&table).unwrap();
        for number in 0..3 {
            assert!(text.contains(&format!("\"{}\"", stand_in(number))), "{text}");
        }
    }
}
