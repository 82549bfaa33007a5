//! Downloads by pip and npm: neither builds, unpacks or runs anything of what it fetches.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs::{self, Workplace};
use super::{Error, Kind, Package};
use crate::error::one_line;

/// Fetches a source archive with pip's parts: `pip download` would run the archive's `setup.py`.
const SOURCE_ARCHIVE: &str = include_str!("source_archive.py");

/// Whether npm can be started.
pub(crate) fn has_npm() -> bool {
    programs::find("npm").is_some()
}

/// Whether there is a Python with pip.
pub fn has_pip() -> bool {
    let find = |place: Workplace| find_python(std::env::var_os("PYTHON"), &place).is_ok();
    Workplace::new().is_ok_and(find)
}

/// Downloads the archive of `package` into the empty folder `place`.
pub(crate) fn download(package: &Package, place: &Workplace) -> Result<PathBuf, Error> {
    match package.kind {
        Kind::Npm => npm(package, place)
            .map_err(|reason| Error::Download { package: package.title(), reason }),
        Kind::Wheel | Kind::Sdist => pip(package, place, std::env::var_os("PYTHON")),
    }
}

fn npm(package: &Package, place: &Workplace) -> Result<PathBuf, String> {
    let program = programs::find("npm").ok_or("npm is not installed")?;
    run(&mut npm_pack(&program, package, place))?;
    only_file(place.path())
}

fn npm_pack(program: &Path, package: &Package, place: &Workplace) -> Command {
    let mut command = place.command(program);
    command.args(["pack", "--ignore-scripts", "--loglevel=error"]);
    // npm's own patience is minutes.
    command.args(["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]);
    // Without it npm takes the settings (.npmrc) of the nearest folder above that has a
    // package.json, and everybody may put one into the folder of temporary files.
    command.arg("--prefix").arg(place.path());
    command.arg(package.title());
    command
}

/// `python`, if given, is the value of `PYTHON` and the only one tried.
pub(crate) fn pip(
    package: &Package,
    place: &Workplace,
    python: Option<OsString>,
) -> Result<PathBuf, Error> {
    let python = find_python(python, place)?;
    let into = place.path().join("archive");
    std::fs::create_dir(&into).map_err(Error::io(&into))?;
    let mut command = place.python(&python);
    let downloaded = match package.kind {
        Kind::Wheel => {
            // pip takes hashes from a file only.
            let list = place.path().join("requirements.txt");
            let line = format!("{} --hash=sha256:{}\n", package.title(), package.archive.sha256);
            std::fs::write(&list, line).map_err(Error::io(&list))?;
            command.args(["-m", "pip", "download"]).args(WHEEL).arg("--dest").arg(&into);
            command.arg("--requirement").arg(&list);
            run(&mut command).and_then(|()| only_file(&into))
        }
        _ => {
            let (archive, file) = (&package.archive, into.join(&package.archive.file));
            command.args(["-c", SOURCE_ARCHIVE, &package.name, &archive.file]);
            command.arg(archive.bytes.to_string()).arg(&file);
            run(&mut command).map(|()| file)
        }
    };
    downloaded.map_err(|reason| Error::Download { package: package.title(), reason })
}

/// pip's options for a built package. A fixed platform: a file is wanted, not code that runs here.
/// So any Python on any machine gets the same file.
const WHEEL: [&str; 10] = [
    "--disable-pip-version-check",
    "--quiet",
    "--no-input",
    "--no-deps",
    "--only-binary=:all:",
    "--require-hashes",
    "--implementation=cp",
    "--python-version=3.12",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_24_x86_64",
];

/// The first Python whose pip answers.
fn find_python(python: Option<OsString>, place: &Workplace) -> Result<PathBuf, Error> {
    let candidates = match python.filter(|python| !python.is_empty()) {
        Some(python) => vec![python],
        None => vec!["python3".into(), "python".into()],
    };
    let mut tried = Vec::new();
    for candidate in candidates {
        let answer = match programs::named(&candidate) {
            Some(program) => {
                let mut command = place.python(&program);
                run(command.args(["-m", "pip", "--version"])).map(|()| program)
            }
            None => Err("there is no such program".to_owned()),
        };
        match answer {
            Ok(program) => return Ok(program),
            Err(reason) => {
                tried.push(format!("`{} -I -m pip`: {reason}", candidate.to_string_lossy()));
            }
        }
    }
    Err(Error::NoPip { tried: tried.join("; ") })
}

/// Runs to the end; the error is the tool's own reason in one line.
fn run(command: &mut Command) -> Result<(), String> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
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
    use crate::packages::Archive;

    #[test]
    fn complaints_become_one_telling_line() {
        let text = "WARNING: x\nERROR: No matching\n distribution\n\n";
        assert_eq!(reason(text, "exit status: 1"), "ERROR: No matching (exit status: 1)");
        assert_eq!(reason("", "signal: 9"), "no message (signal: 9)");
        let text = "Retrying: Failed to establish a new connection\nERROR: No matching";
        assert!(reason(text, "").contains("cannot be reached"));
    }

    /// Of the nearest folder above that has a package.json npm would take the settings.
    #[test]
    fn npm_reads_no_settings_of_the_folders_above() {
        let Some(program) = programs::find("npm") else {
            eprintln!("SKIPPED: npm is not installed");
            return;
        };
        let above = tempfile::tempdir().unwrap();
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::fs::write(above.path().join("package.json"), r#"{"workspaces":["*"]}"#).unwrap();
        let settings = format!("@nobody:registry=http://{address}/\n");
        std::fs::write(above.path().join(".npmrc"), settings).unwrap();
        let package = Package {
            name: "@nobody/none".into(),
            version: "1.0.0".into(),
            kind: Kind::Npm,
            archive: Archive { file: String::new(), bytes: 0, sha256: String::new() },
            files: Vec::new(),
        };
        let asked = std::thread::spawn(move || server.accept().unwrap().0.peer_addr().unwrap());
        let place = Workplace::inside(above.path()).unwrap();
        let mut command = npm_pack(&program, &package, &place);
        command.env("npm_config_cache", place.path().join("cache"));
        // Nobody listens at port 1.
        command.env("npm_config_registry", "http://127.0.0.1:1/");
        run(&mut command).unwrap_err();
        assert!(!asked.is_finished(), "npm asked the registry that a folder above names");
        let ours = std::net::TcpStream::connect(address).unwrap().local_addr().unwrap();
        assert_eq!(asked.join().unwrap(), ours);
    }
}
