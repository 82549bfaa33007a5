//! Where things lie that no option names: the cache and the presets.

use std::path::{Path, PathBuf};

use train::config::Layers;

use crate::failure::misuse;

/// Overrides the folder of the cache.
const CACHE: &str = "FACESHIELD_CACHE";

/// The presets that are part of the program, as they were when it was built.
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
    // Relative ones would be below the current folder.
    let folder = |name| variable(name).filter(|value| Path::new(value).is_absolute());
    match (folder("XDG_CACHE_HOME"), folder("HOME")) {
        (Some(cache), _) => PathBuf::from(cache).join("faceshield"),
        (None, Some(home)) => PathBuf::from(home).join(".cache/faceshield"),
        (None, None) => PathBuf::from(".cache/faceshield"),
    }
}

/// Adds the preset `name` as the lowest layer: the file, when `name` ends with `.toml`, else the
/// one of this name that is part of the program. A file that happens to lie in the current folder,
/// or in `launch/presets` there, is never taken for one of the program's.
///
/// # Errors
///
/// No such preset, or no TOML.
pub(crate) fn add_preset(layers: &mut Layers, name: &str) -> anyhow::Result<()> {
    if name.ends_with(".toml") {
        let path = Path::new(name);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        layers.preset(folder.unwrap_or(Path::new(".")), &stem)?;
        return Ok(());
    }
    if let Some((_, text)) = EMBEDDED.iter().find(|(embedded, _)| *embedded == name) {
        layers.text(&format!("preset {name}"), text)?;
        return Ok(());
    }
    let mut known = EMBEDDED.map(|(name, _)| name);
    known.sort_unstable();
    Err(misuse(format!(
        "no preset `{name}`: choose one of {}, or give a file (--preset ./mine.toml)",
        known.join(", ")
    )))
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
