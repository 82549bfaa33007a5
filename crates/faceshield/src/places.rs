//! Where things lie that no option names: the cache and the presets.

use std::path::{Path, PathBuf};

use train::config::Layers;

use crate::failure::misuse;

/// Overrides the folder of the cache.
const CACHE: &str = "FACESHIELD_CACHE";

/// The presets that are part of the program.
const EMBEDDED: [(&str, &str); 3] = [
    ("demo", include_str!("../../../launch/presets/demo.toml")),
    ("small", include_str!("../../../launch/presets/small.toml")),
    ("published", include_str!("../../../launch/presets/published.toml")),
];

/// The folder for what can be computed again: data set indices and layer statistics.
pub(crate) fn cache_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = variable(CACHE) {
        return dir.into();
    }
    match (variable("XDG_CACHE_HOME"), variable("HOME")) {
        (Some(cache), _) => PathBuf::from(cache).join("faceshield"),
        (None, Some(home)) => PathBuf::from(home).join(".cache/faceshield"),
        (None, None) => PathBuf::from(".cache/faceshield"),
    }
}

/// Adds the preset `name` as the lowest layer: a file when `name` is a path to one,
/// else `launch/presets/NAME.toml` of the working folder, of the program's repository,
/// or the one that is part of the program.
///
/// # Errors
///
/// No such preset, or no TOML.
pub(crate) fn add_preset(layers: &mut Layers, name: &str) -> anyhow::Result<()> {
    let folders = preset_folders();
    if name.ends_with(".toml") {
        let path = Path::new(name);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        layers.preset(folder.unwrap_or(Path::new(".")), &stem)?;
        return Ok(());
    }
    // A name, not a way out of the folder.
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
    if plain
        && let Some(folder) =
            folders.iter().find(|folder| folder.join(format!("{name}.toml")).is_file())
    {
        layers.preset(folder, name)?;
        return Ok(());
    }
    if let Some((_, text)) = EMBEDDED.iter().find(|(embedded, _)| *embedded == name) {
        layers.text(&format!("preset {name}"), text)?;
        return Ok(());
    }
    let mut known: Vec<String> = EMBEDDED.iter().map(|(name, _)| (*name).to_owned()).collect();
    for folder in &folders {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        known.extend(
            files.filter_map(|file| {
                Some(file.file_name().to_str()?.strip_suffix(".toml")?.to_owned())
            }),
        );
    }
    known.sort();
    known.dedup();
    Err(misuse(format!(
        "no preset `{name}`: choose one of {}, or give a file (--preset ./mine.toml)",
        known.join(", ")
    )))
}

/// `launch/presets` of the working folder and of the folders above the program, if there.
fn preset_folders() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|path| path.ancestors().skip(1).take(4));
    let mut folders: Vec<PathBuf> =
        std::iter::once(Path::new("")).chain(above).map(|dir| dir.join("launch/presets")).collect();
    folders.retain(|folder| folder.is_dir());
    folders
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn presets_are_found_and_others_named() {
        let mut layers = Layers::new();
        for (name, _) in EMBEDDED {
            add_preset(&mut layers, name).unwrap();
        }
        let message = add_preset(&mut layers, "../demo").unwrap_err().to_string();
        assert!(message.contains("choose one of demo, published, small"), "{message}");
    }
}
