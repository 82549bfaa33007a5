//! Layers of configuration: preset < file < `--set` < flags.
//!
//! A layer holds top-level keys, which are meant for every stage that knows them,
//! and tables named after stages, whose keys win over the top-level ones of the
//! *same* layer. A later layer wins over an earlier one whatever the table.

use super::source::{self, Entry};
use crate::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// Where a layer comes from, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Preset,
    File,
    Set,
    Flag,
}

/// A stack of layers and the keys that stages know.
///
/// ```no_run,standalone_crate
/// use train::config::Layers;
/// let mut layers = Layers::new();
/// layers.declare::<train::Config>("fse")?;
/// layers.declare::<train::Config>("irc")?;
/// layers.text("launch/presets/demo.toml", "batch_size = 2\n[irc]\nbatch_size = 4\n")?;
/// layers.set("fse.lr=1e-3")?;
/// let irc: train::Config = layers.resolve("irc")?;
/// assert_eq!((irc.batch_size, irc.lr), (4, 1e-4));
/// assert_eq!(layers.resolve::<train::Config>("fse")?.lr, 1e-3);
/// # Ok::<(), train::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Layers {
    stages: Vec<(String, Table)>,
    layers: Vec<(Origin, Vec<Entry>)>,
}

impl Layers {
    /// No layers, no stages: every configuration is its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a stage and its keys known: those of the serialised default of `T`.
    /// Options of `T` must therefore serialise as something (`""`, not nothing).
    ///
    /// # Errors
    /// If the default of `T` cannot be written as a TOML table.
    pub fn declare<T: Default + Serialize>(&mut self, stage: &str) -> Result<(), Error> {
        let known = known(stage, &T::default())?;
        self.stages.retain(|(name, _)| name != stage);
        self.stages.push((stage.to_string(), known));
        Ok(())
    }

    /// Adds the preset `folder/name.toml` as the lowest layer.
    ///
    /// # Errors
    /// Lists the presets there are if there is none of this name; file and line if it
    /// is no TOML.
    pub fn preset(&mut self, folder: &Path, name: &str) -> Result<(), Error> {
        let known = source::presets(folder);
        if !known.iter().any(|preset| preset == name) {
            let known = if known.is_empty() { "(it is empty)".into() } else { known.join(", ") };
            return Err(Error::UnknownPreset { name: name.into(), folder: folder.into(), known });
        }
        let path = folder.join(format!("{name}.toml"));
        self.layers.push((Origin::Preset, source::file(&path)?));
        Ok(())
    }

    /// Adds a file, over the preset.
    ///
    /// # Errors
    /// If it cannot be read; file and line if it is no TOML.
    pub fn file(&mut self, path: &Path) -> Result<(), Error> {
        self.layers.push((Origin::File, source::file(path)?));
        Ok(())
    }

    /// Adds TOML text as a preset, `name` standing for its file in errors.
    ///
    /// # Errors
    /// Name and line if it is no TOML.
    pub fn text(&mut self, name: &str, text: &str) -> Result<(), Error> {
        self.layers.push((Origin::Preset, source::text(name, text)?));
        Ok(())
    }

    /// Adds one `key=value` of `--set`, over all files. All of them form one layer;
    /// of two for the same key the later wins. A value that is no TOML is a string.
    ///
    /// # Errors
    /// If there is no `=`, or the key is no dotted name.
    pub fn set(&mut self, assignment: &str) -> Result<(), Error> {
        let entry = source::assignment(assignment)?;
        self.extend(Origin::Set, entry);
        Ok(())
    }

    /// Adds the value of a flag (`--seed`), over everything else. `key` may be dotted.
    pub fn flag(&mut self, flag: &str, key: &str, value: impl Into<Value>) {
        let path = key.split('.').map(str::to_string).collect();
        self.extend(
            Origin::Flag,
            Entry { path, value: value.into(), raw: None, place: flag.into() },
        );
    }

    fn extend(&mut self, origin: Origin, entry: Entry) {
        match self.layers.iter_mut().find(|(of, _)| *of == origin) {
            Some((_, entries)) => entries.push(entry),
            None => self.layers.push((origin, vec![entry])),
        }
    }

    /// The configuration of one stage.
    ///
    /// # Errors
    /// An unknown key (with the nearest known ones) or a value of the wrong type,
    /// each with the place where it was written.
    pub fn resolve<T>(&self, stage: &str) -> Result<T, Error>
    where
        T: Default + Serialize + DeserializeOwned,
    {
        self.resolve_over(stage, &T::default())
    }

    /// [`Layers::resolve`] over other values than the defaults: for defaults that depend on
    /// what was asked for.
    ///
    /// # Errors
    /// As there.
    pub fn resolve_over<T>(&self, stage: &str, base: &T) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        let known = known(stage, base)?;
        let mut resolved = known.clone();
        for (entry, value) in self.applying(stage, &known)? {
            // One value alone on top of the defaults: if that does not deserialise, it
            // is this value's fault, and its place can be named.
            let mut alone = known.clone();
            put(&mut alone, entry.key_for(stage), value.clone());
            Value::Table(alone).try_into::<T>().map_err(|error| {
                Error::option(&entry.place, format!("{}: {}", entry.key(), one_line(&error)))
            })?;
            put(&mut resolved, entry.key_for(stage), value);
        }
        Value::Table(resolved)
            .try_into()
            .map_err(|error| Error::option("configuration", one_line(&error)))
    }

    /// Entries that concern `stage`, lowest precedence first, with values of the right
    /// type. Keys that only other stages know are left out.
    fn applying(&self, stage: &str, known: &Table) -> Result<Vec<(&Entry, Value)>, Error> {
        let mut ordered: Vec<_> = self.layers.iter().collect();
        ordered.sort_by_key(|(origin, _)| *origin);
        let mut applying = Vec::new();
        for (_, entries) in ordered {
            for for_stage in [false, true] {
                for entry in entries {
                    if !self.is_stage(&entry.path[0], stage) {
                        if !for_stage {
                            applying.extend(self.general(entry, known)?);
                        }
                    } else if for_stage && entry.path[0] == stage {
                        match look_up(known, entry.key_for(stage)) {
                            Some(like) => applying.push((entry, entry.typed(like)?)),
                            None => return Err(self.unknown(entry, known)),
                        }
                    }
                }
            }
        }
        Ok(applying)
    }

    /// A top-level entry: `None` if other stages know it and this one does not.
    fn general<'a>(
        &self,
        entry: &'a Entry,
        known: &Table,
    ) -> Result<Option<(&'a Entry, Value)>, Error> {
        if let Some(like) = look_up(known, &entry.path) {
            return Ok(Some((entry, entry.typed(like)?)));
        }
        match self.stages.iter().any(|(_, keys)| look_up(keys, &entry.path).is_some()) {
            true => Ok(None),
            false => Err(self.unknown(entry, known)),
        }
    }

    fn is_stage(&self, name: &str, current: &str) -> bool {
        name == current || self.stages.iter().any(|(stage, _)| stage == name)
    }

    fn unknown(&self, entry: &Entry, known: &Table) -> Error {
        let mut keys = leaves(known);
        for (stage, table) in &self.stages {
            keys.extend(leaves(table));
            if entry.path.len() > 1 {
                keys.extend(leaves(table).into_iter().map(|key| format!("{stage}.{key}")));
            }
        }
        let key = entry.key();
        let nearest = nearest(&key, keys);
        Error::UnknownKey { place: entry.place.clone(), key, nearest }
    }
}

/// The keys of a configuration with their values.
fn known<T: Serialize>(stage: &str, base: &T) -> Result<Table, Error> {
    Table::try_from(base)
        .map_err(|error| Error::option(format!("configuration of {stage}"), one_line(&error)))
}

/// The value at a path, if the path ends at a leaf or a table.
fn look_up<'a>(table: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    match (rest.is_empty(), value) {
        (true, value) => Some(value),
        (false, Value::Table(inner)) => look_up(inner, rest),
        (false, _) => None,
    }
}

/// Sets the value at a path that `look_up` has found.
fn put(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            if let Some(Value::Table(inner)) = table.get_mut(key) {
                put(inner, rest, value);
            }
        }
    }
}

/// Dotted names of all leaves.
fn leaves(table: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                names.extend(leaves(inner).into_iter().map(|name| format!("{key}.{name}")));
            }
            _ => names.push(key.clone()),
        }
    }
    names
}

/// Up to three known keys that resemble `key`, as a whole or in their last part.
fn nearest(key: &str, mut known: Vec<String>) -> Vec<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_string();
    let likeness = |name: &String| {
        let whole = strsim::jaro_winkler(key, name);
        let end = strsim::jaro_winkler(&last(key), &last(name)) - 0.02;
        whole.max(end)
    };
    known.sort();
    known.dedup();
    known.retain(|name| likeness(name) > 0.8);
    known.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    known.truncate(3);
    known
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
