//! The record of protected photos. As it comes, nothing of it is believed. With every line signed,
//! which a stranger cannot do and a fuzzer never would, no path leads out of the folder.

use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use files::{Folder, Key};
use serde_json::Value;

use super::record::Record;

/// What lies in the folder, and outside it, and must be there after all.
const CONTENT: &[u8] = b"result";

struct Place {
    folder: PathBuf,
    outside: PathBuf,
    key: Key,
}

/// A folder with a result, a link to a file outside and one to a folder outside.
static PLACE: LazyLock<Option<Place>> = LazyLock::new(|| {
    let root = std::env::temp_dir().join(format!("faceshield-fuzz-record-{}", std::process::id()));
    let (folder, outside) = (root.join("out"), root.join("outside"));
    for folder in [&folder, &outside] {
        std::fs::create_dir_all(folder).ok()?;
    }
    std::fs::write(outside.join("a.png"), CONTENT).ok()?;
    std::os::unix::fs::symlink(outside.join("a.png"), folder.join("link.png")).ok()?;
    std::os::unix::fs::symlink(&outside, folder.join("album")).ok()?;
    Some(Place { folder, outside, key: Key::random().ok()? })
});

pub(crate) fn check(bytes: &[u8]) {
    let Some(place) = &*PLACE else { panic!("no scratch folder") };
    assert!(std::fs::write(place.folder.join("a.png"), CONTENT).is_ok());
    let entries: Vec<Value> =
        bytes.split(|&byte| byte == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();

    // As it came.
    if let Some(record) = place.open(bytes) {
        assert!(outputs(&entries).all(|output| !record.wrote(&output)), "a line was believed");
        assert!(photos(&entries).all(|(input, stamp)| record.find(&input, &stamp).is_none()));
    }

    // Signed by the user.
    let sign = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?.trim();
        let code = place.key.sign("record of protected photos", line.as_bytes());
        Some(format!("{{\"code\":\"{code}\",\"entry\":{line}}}\n"))
    };
    let signed: String = bytes.split(|&byte| byte == b'\n').filter_map(sign).collect();
    let Some(mut record) = place.open(signed.as_bytes()) else { return };
    for output in outputs(&entries) {
        let inside = output
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        assert!(!record.wrote(&output) || inside && !output.starts_with("album"), "{output:?}");
    }
    for (input, stamp) in photos(&entries) {
        if let Some(found) = record.find(&input, &stamp) {
            let output = found.output.as_deref();
            assert!(output.is_some_and(|output| place.folder.join(output).is_file()));
        }
        if let Err(problem) = record.withdraw(&input) {
            assert!(!problem.to_string().contains('\n'), "not one line: {problem:?}");
        }
    }
    assert!(place.outside.join("a.png").is_file(), "a file outside was removed");
    assert!(place.folder.join("link.png").is_symlink(), "a link was removed");
}

impl Place {
    fn open(&self, record: &[u8]) -> Option<Record> {
        assert!(std::fs::write(self.folder.join(".protected.jsonl"), record).is_ok());
        match Record::open(Folder::at(&self.folder), self.key.clone()) {
            Ok(record) => Some(record),
            Err(problem) => {
                assert!(!format!("{problem:#}").contains('\n'), "not one line: {problem:?}");
                None
            }
        }
    }
}

/// Files that lines call results, as they are and where the fuzzer would like them to be.
fn outputs(entries: &[Value]) -> impl Iterator<Item = PathBuf> + '_ {
    let named = entries.iter().flat_map(|entry| {
        ["writing", "done"].map(|kind| entry[kind]["output"].as_str().map(PathBuf::from))
    });
    let others = ["a.png", "link.png", "album/a.png", "../outside/a.png"].map(PathBuf::from);
    named.flatten().chain(others)
}

/// Photos that lines call done, and their stamps.
fn photos(entries: &[Value]) -> impl Iterator<Item = (PathBuf, String)> + '_ {
    let photo = |entry: &Value| {
        let done = &entry["done"];
        Some((Path::new(done["input"].as_str()?).to_owned(), done["stamp"].as_str()?.to_owned()))
    };
    entries.iter().filter_map(photo)
}
