//! Downloads by pip and npm, the way a user would by hand.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, Kind, Package};
use crate::error::one_line;

/// Whether npm can be started.
pub(crate) fn has_npm() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("npm").is_file())
}

/// Downloads the archive of `package` into the empty folder `into`.
pub(crate) fn download(package: &Package, into: &Path) -> Result<PathBuf, Error> {
    match package.kind {
        Kind::Npm => npm(package, into)
            .map_err(|reason| Error::Download { package: package.title(), reason }),
        Kind::Wheel | Kind::Sdist => pip(package, into, std::env::var_os("PYTHON")),
    }
}

fn npm(package: &Package, into: &Path) -> Result<PathBuf, String> {
    let mut command = Command::new("npm");
    // npm's own patience is minutes.
    command.args([
        "pack",
        "--loglevel=error",
        "--fetch-retries=1",
        "--fetch-retry-mintimeout=1000",
    ]);
    command.arg(package.title()).current_dir(into);
    run(&mut command)?;
    only_file(into)
}

/// `python`, if given, is the value of `PYTHON` and the only one tried.
pub(crate) fn pip(
    package: &Package,
    into: &Path,
    python: Option<OsString>,
) -> Result<PathBuf, Error> {
    let pip = find_pip(python)?;
    let mut reason = String::new();
    for options in options(package) {
        let mut command = start(&pip);
        command.args(["download", "--quiet", "--no-input", "--no-deps", "--dest"]).arg(into);
        command.args(options).arg(package.title());
        match run(&mut command).and_then(|()| only_file(into)) {
            Ok(file) => return Ok(file),
            // The first attempt is the right one; its reason is the one to tell.
            Err(error) if reason.is_empty() => reason = error,
            Err(_) => {}
        }
    }
    Err(Error::Download { package: package.title(), reason })
}

/// pip's options, one set per attempt.
fn options(package: &Package) -> Vec<Vec<&str>> {
    match package.kind {
        // A fixed platform: a file is wanted, not code that runs here. So any Python
        // on any machine gets the same file.
        Kind::Wheel => vec![vec![
            "--only-binary=:all:",
            "--implementation=cp",
            "--python-version=3.12",
            "--platform=manylinux_2_28_x86_64",
            "--platform=manylinux_2_24_x86_64",
        ]],
        // pip reads a source archive's metadata by running its build tool, which it
        // fetches first. Only this package is forced to be source, or the build tool would
        // be built from source too. Where fetching it fails, an installed one may do.
        _ => vec![
            vec!["--no-binary", &package.name],
            vec!["--no-binary", &package.name, "--no-build-isolation"],
        ],
    }
}

/// The first command that answers `--version`.
fn find_pip(python: Option<OsString>) -> Result<Vec<OsString>, Error> {
    let words = |command: &[&str]| command.iter().map(OsString::from).collect::<Vec<_>>();
    let candidates = match python.filter(|python| !python.is_empty()) {
        Some(python) => vec![vec![python, "-m".into(), "pip".into()]],
        None => {
            vec![
                words(&["python3", "-m", "pip"]),
                words(&["python", "-m", "pip"]),
                words(&["pip3"]),
            ]
        }
    };
    let mut tried = Vec::new();
    for candidate in candidates {
        match run(start(&candidate).arg("--version")) {
            Ok(()) => return Ok(candidate),
            Err(reason) => {
                let command = candidate.join(&OsString::from(" "));
                tried.push(format!("`{}`: {reason}", command.to_string_lossy()));
            }
        }
    }
    Err(Error::NoPip { tried: tried.join("; ") })
}

fn start(words: &[OsString]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command
}

/// Runs to the end; the error is the tool's own reason in one line.
fn run(command: &mut Command) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(reason(&String::from_utf8_lossy(&output.stderr), &output.status.to_string()))
}

/// The line of a tool's complaints that says most.
fn reason(complaints: &str, status: &str) -> String {
    // pip ends with "no matching distribution" even when it reached no index at all.
    let offline = [
        "Failed to establish a new connection",
        "Connection refused",
        "ConnectTimeout",
        "ProxyError",
    ]
    .iter()
    .chain(&["Temporary failure in name resolution", "ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN"])
    .find(|sign| complaints.contains(**sign));
    if let Some(sign) = offline {
        return format!("the package registry cannot be reached ({sign})");
    }
    let lines = || complaints.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = |line: &&str| line.to_ascii_lowercase().contains("error");
    let line = lines().rfind(error).or_else(|| lines().next_back()).unwrap_or("no message");
    one_line(&format!("{line} ({status})"))
}

/// The one file that a download left in an empty folder.
fn only_file(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut files = entries.filter_map(Result::ok).map(|entry| entry.path());
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        (None, _) => Err("the download left no file".into()),
        _ => Err("the download left several files".into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn complaints_become_one_telling_line() {
        let text = "WARNING: x\nERROR: No matching\n distribution\n\n";
        assert_eq!(reason(text, "exit status: 1"), "ERROR: No matching (exit status: 1)");
        assert_eq!(reason("", "signal: 9"), "no message (signal: 9)");
        let text = "Retrying: Failed to establish a new connection\nERROR: No matching";
        assert!(reason(text, "").contains("cannot be reached"));
    }
}
