//! What a checkpoint says of where its training lay: nothing that leads there.
//!
//! A checkpoint is given away. Paths in its configuration would tell the names of its author, of
//! machines and of data; going on from it needs none of them.

use std::path::{Component, Path};
use toml::Value;

/// The configuration with every value of `keys`, a path or a list of them, made fit to be given
/// away: one below the current folder relative to it, another as `…/NAME`. Empty ones, and plain
/// words that name something else than a path, stay.
pub fn without_paths(mut configuration: toml::Table, keys: &[String]) -> toml::Table {
    let here = std::env::current_dir().ok();
    for key in keys {
        if let Some(value) = configuration.get_mut(key) {
            shorten(value, here.as_deref());
        }
    }
    configuration
}

/// A path, made fit to be given away as [`without_paths`] says.
pub fn short_path(path: &Path) -> String {
    short(path, std::env::current_dir().ok().as_deref())
}

fn shorten(value: &mut Value, here: Option<&Path>) {
    match value {
        Value::String(path) => *path = short(Path::new(path), here),
        Value::Array(paths) => paths.iter_mut().for_each(|path| shorten(path, here)),
        _ => {}
    }
}

fn short(path: &Path, here: Option<&Path>) -> String {
    let below = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if below.components().all(plain) {
        return match below.to_string_lossy() {
            // The current folder itself.
            rest if rest.is_empty() && path.is_absolute() => ".".into(),
            rest => rest.into_owned(),
        };
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("…/{name}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_lies_elsewhere_is_named_and_not_found() {
        let here = Path::new("/home/anna/work");
        for (path, expected) in [
            ("", ""),
            ("random", "random"),
            ("datasets/demo", "datasets/demo"),
            ("./faces", "./faces"),
            ("/home/anna/work/faces/a", "faces/a"),
            ("/home/anna/work", "."),
            ("/home/anna/faces", "…/faces"),
            ("/home/anna/work/../faces", "…/faces"),
            ("../faces", "…/faces"),
            ("../..", "…/"),
            ("/", "…/"),
        ] {
            assert_eq!(short(Path::new(path), Some(here)), expected, "{path}");
        }
        assert_eq!(short(Path::new("/a/b"), None), "…/b");
    }

    #[test]
    fn the_named_keys_change_and_no_others() {
        let configuration = toml::toml! {
            data = "/data/faces"
            judges = ["/models/a", "b"]
            note = "/data/faces"
            epochs = 3
        };
        let keys = ["data", "judges", "epochs", "absent"].map(str::to_owned);
        let expected = toml::toml! {
            data = "…/faces"
            judges = ["…/a", "b"]
            note = "/data/faces"
            epochs = 3
        };
        assert_eq!(without_paths(configuration, &keys), expected);
    }
}
