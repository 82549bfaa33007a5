//! What the scripts and the program fetch is pinned: this reads them and fails where a package
//! could be installed without a hash, be built from source, or see the current folder.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Files below some folders of the repository, by ending.
fn files(folders: &[&str], ending: &str) -> Vec<PathBuf> {
    let below = folders.iter().flat_map(|folder| walkdir::WalkDir::new(root().join(folder)));
    let skipped = |path: &Path| path.iter().any(|part| part == "target" || part == "found");
    let files = below.map(|entry| entry.unwrap().into_path());
    let mut files: Vec<_> =
        files.filter(|path| path.to_string_lossy().ends_with(ending) && !skipped(path)).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The commands of a shell script, each with the lines that it goes on over.
fn commands(script: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(script).unwrap().replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn scripts_fetch_nothing_that_is_not_pinned() {
    let mut installs = 0;
    for script in files(&["scripts", "launch", "fuzz"], ".sh") {
        let text = std::fs::read_to_string(&script).unwrap();
        assert!(
            !text.starts_with("#!") || text.starts_with("#!/bin/bash\n"),
            "{script:?}: `env` would look bash up, if need be in the current folder"
        );
        assert!(
            script.ends_with("common.sh") || text.contains("common.sh"),
            "{script:?} does not keep to absolute paths"
        );
        for command in commands(&script) {
            let at = format!("{}: {command}", script.display());
            for python in ["python", "python3", "python\"", "python3\""] {
                let mut rest = command.as_str();
                while let Some(start) = rest.find(&format!("{python} ")) {
                    rest = &rest[start + python.len() + 1..];
                    let first = rest.split_whitespace().next().unwrap_or_default();
                    let options = first.starts_with('-') || first.ends_with(".py\"");
                    assert!(!options || first == "-I", "{at}: not isolated");
                }
            }
            if command.contains("-m pip install") || command.contains("-m pip download") {
                installs += 1;
                for option in ["--require-hashes", "--only-binary=:all:", "--requirement"] {
                    // A function that takes several files spells the last one beside.
                    let listed = option == "--requirement" && command.contains("\"${files[@]}\"");
                    assert!(command.contains(option) || listed, "{at}: no {option}");
                }
            }
            assert!(!command.contains("cargo install"), "{at}: a tool that is not pinned");
            for task in ["build", "test", "bench", "clippy", "doc", "run"] {
                let unlocked = command.contains(&format!("cargo {task} "));
                assert!(!unlocked || command.contains("--locked"), "{at}: no --locked");
            }
        }
    }
    assert_eq!(installs, 2, "one for wheels as files, one for tools");
}

#[test]
fn requirements_have_one_version_and_hashes() {
    for list in files(&["scripts/requirements"], ".txt") {
        let entries = commands(&list);
        assert!(!entries.is_empty());
        for entry in entries.iter().filter(|entry| !entry.is_empty()) {
            let at = format!("{}: {entry:.60}", list.display());
            let requirement = entry.split_whitespace().next().unwrap();
            let (name, version) = requirement.split_once("==").expect(&at);
            assert!(!name.is_empty() && !version.contains('*'), "{at}");
            assert!(entry.contains("--hash=sha256:"), "{at}");
            assert!(!entry.contains("://"), "{at}: names a host");
        }
    }
}

/// Programs are started in one place, which looks them up and isolates them.
#[test]
fn one_module_starts_other_programs() {
    let ours = ["faces/src/packages/programs.rs", "faceshield/src/commands/launch/ranks.rs"];
    for source in files(&["crates"], ".rs") {
        let name = source.to_string_lossy().into_owned();
        let is_test = name.contains("/tests/") || name.contains("/examples/");
        if is_test || ours.iter().any(|known| name.ends_with(known)) {
            continue;
        }
        let text = std::fs::read_to_string(&source).unwrap();
        assert!(!text.contains("Command::new("), "{name}: start it through packages::programs");
    }
    let tools = root().join("crates/faces/src/packages/tools.rs");
    let tools = std::fs::read_to_string(tools).unwrap();
    for option in ["--require-hashes", "--only-binary=:all:", "--ignore-scripts", "--prefix"] {
        assert!(tools.contains(option), "pip or npm without {option}");
    }
    assert!(!tools.contains("--no-binary"), "pip builds source archives that it downloads");
}
