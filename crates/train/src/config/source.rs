//! One layer as a list of entries, each of which knows where it was written.

use crate::Error;
use std::collections::HashMap;
use std::path::Path;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// Bytes of a file at most.
const LONGEST: u64 = 1 << 20;

/// One key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The parts of the dotted key; at least one.
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    /// The text of a value given on the command line, which may be meant as a string.
    pub(super) raw: Option<String>,
    /// For errors: `file.toml line 3`, `--set`, `--seed`.
    pub(super) place: String,
}

impl Entry {
    /// The key as written, for messages of one line: a quoted key may hold line breaks.
    pub(super) fn key(&self) -> String {
        let parts: Vec<_> = self.path.iter().map(|part| part.escape_debug().to_string()).collect();
        parts.join(".")
    }

    /// The key without the stage's table.
    pub(super) fn key_for(&self, stage: &str) -> &[String] {
        match self.path.split_first() {
            Some((first, rest)) if first == stage && !rest.is_empty() => rest,
            _ => &self.path,
        }
    }

    /// The value in the type of the default it replaces.
    pub(super) fn typed(&self, like: &Value) -> Result<Value, Error> {
        match (like, &self.value) {
            (Value::Float(_), Value::Integer(number)) => Ok(Value::Float(*number as f64)),
            (Value::String(_), value) if !value.is_str() && self.raw.is_some() => {
                Ok(Value::String(self.raw.clone().unwrap_or_default()))
            }
            (like, value) if like.same_type(value) && !like.is_table() => Ok(value.clone()),
            (like, value) => {
                let problem = match like {
                    Value::Table(_) => format!("{0} is a table: write {0}.KEY", self.key()),
                    _ => format!("{} must be {}, not {}", self.key(), kind(like), kind(value)),
                };
                Err(Error::option(&self.place, problem))
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Names of the presets in a folder, sorted.
pub(super) fn presets(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".toml").map(str::to_string))
        .collect();
    names.sort();
    names
}

/// The entries of a file.
pub(super) fn file(path: &Path) -> Result<Vec<Entry>, Error> {
    let content = files::input::read_to_string(path, LONGEST).map_err(Error::file("read", path))?;
    text(&path.display().to_string(), &content)
}

/// The entries of TOML text.
pub(super) fn text(name: &str, content: &str) -> Result<Vec<Entry>, Error> {
    let located = |error: toml::de::Error| {
        let place = match error.span() {
            Some(span) => format!("{name} line {}", line(content, span.start)),
            None => name.to_string(),
        };
        Error::option(place, error.message().lines().collect::<Vec<_>>().join(", "))
    };
    let table: Table = content.parse().map_err(located)?;
    let mut lines = HashMap::new();
    let spanned = DeTable::parse(content).map_err(located)?;
    collect_lines(spanned.get_ref(), content, &mut Vec::new(), &mut lines);

    let mut entries = Vec::new();
    collect_entries(table, &mut Vec::new(), &mut |path, value| {
        let place = match lines.get(&path) {
            Some(line) => format!("{name} line {line}"),
            None => name.to_string(),
        };
        entries.push(Entry { path, value, raw: None, place });
    });
    Ok(entries)
}

/// The entry of `key=value`.
pub(super) fn assignment(text: &str) -> Result<Entry, Error> {
    let place = "--set".to_string();
    let wrong = || {
        let problem =
            format!("expected key=value (such as lr=1e-4 or irc.batch_size=2), got {text:?}");
        Error::option("--set", problem)
    };
    let (key, raw) = text.split_once('=').ok_or_else(wrong)?;
    let path: Vec<String> = key.trim().split('.').map(|part| part.trim().to_string()).collect();
    if path.iter().any(String::is_empty) {
        return Err(wrong());
    }
    let raw = raw.trim().to_string();
    let value = format!("value = {raw}")
        .parse::<Table>()
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(raw.clone()));
    Ok(Entry { path, value, raw: Some(raw), place })
}

fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

fn collect_lines(
    table: &DeTable<'_>,
    text: &str,
    path: &mut Vec<String>,
    lines: &mut HashMap<Vec<String>, usize>,
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        lines.insert(path.clone(), line(text, key.span().start));
        if let DeValue::Table(inner) = value.get_ref() {
            collect_lines(inner, text, path, lines);
        }
        path.pop();
    }
}

fn collect_entries(
    table: Table,
    path: &mut Vec<String>,
    emit: &mut impl FnMut(Vec<String>, Value),
) {
    for (key, value) in table {
        path.push(key);
        match value {
            Value::Table(inner) => collect_entries(inner, path, emit),
            leaf => emit(path.clone(), leaf),
        }
        path.pop();
    }
}
