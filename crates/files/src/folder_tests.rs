#![allow(clippy::unwrap_used)]
use super::*;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

/// A folder with a secret beside it.
fn folder() -> (tempfile::TempDir, Folder) {
    let outer = tempfile::tempdir().unwrap();
    std::fs::create_dir(outer.path().join("other")).unwrap();
    std::fs::write(outer.path().join("other/secret"), "secret").unwrap();
    let folder = Folder::create(outer.path().join("out")).unwrap();
    (outer, folder)
}

/// Every call that could read, write, replace or remove.
fn everything(folder: &Folder, path: &str) -> Vec<(&'static str, Option<std::io::Error>)> {
    vec![
        ("open", folder.open(path).err()),
        ("read", folder.read(path, 100).err()),
        ("append", folder.append(path).err()),
        ("update", folder.update(path).err()),
        ("create_new", folder.create_new(path).err()),
        ("write", folder.write(path, b"new").err()),
        ("remove", folder.remove(path).err()),
    ]
}

#[test]
fn nothing_leads_out_of_the_folder() {
    let (outer, folder) = folder();
    let secret = outer.path().join("other/secret");
    symlink(&secret, folder.path().join("link")).unwrap();
    symlink("../other/secret", folder.path().join("relative")).unwrap();
    symlink("../other/new", folder.path().join("dangling")).unwrap();
    symlink(outer.path().join("other"), folder.path().join("folder")).unwrap();
    folder.make("a/b").unwrap();
    symlink("../../../other", folder.path().join("a/b/deep")).unwrap();
    let absolute = secret.to_str().unwrap().to_owned();
    for path in [
        "link",
        "relative",
        "dangling",
        "folder/secret",
        "a/b/deep/secret",
        "../other/secret",
        "a/../../other/secret",
        &absolute,
        "",
        ".",
        "..",
    ] {
        for (call, error) in everything(&folder, path) {
            let error = error.unwrap_or_else(|| panic!("{call} of {path}"));
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
    for path in ["folder", "folder/new", "a/b/deep", "../new", &absolute] {
        assert!(folder.make(path).is_err(), "{path}");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(outer.path().join("other")).unwrap().count(), 1);
    assert!(folder.exists("dangling").unwrap());
    assert!(folder.exists("folder/secret").is_err());
    assert!(!folder.exists("none/at/all").unwrap());
}

#[test]
fn what_is_no_regular_file_is_neither_waited_for_nor_read() {
    let (_outer, folder) = folder();
    let at = |name: &str| folder.path().join(name);
    let make = |name: &str, kind: FileType| {
        rustix::fs::mknodat(CWD, at(name), kind, Mode::RWXU, 0).unwrap();
    };
    make("fifo", FileType::Fifo);
    make("socket", FileType::Socket);
    std::fs::create_dir(at("folder")).unwrap();
    for (path, kind) in [("fifo", "named pipe"), ("socket", "socket"), ("folder", "a folder")] {
        for (call, error) in everything(&folder, path) {
            let error = error.unwrap_or_else(|| panic!("{call} of {path}"));
            assert!(call == "create_new" || error.to_string().contains(kind), "{call}: {error}");
        }
    }
    let device = Folder::at("/dev").of_anybody();
    assert!(device.read("zero", 9).unwrap_err().to_string().contains("a device"));
}

#[test]
fn files_of_others_and_with_other_names_are_not_written() {
    let (outer, folder) = folder();
    std::fs::hard_link(outer.path().join("other/secret"), folder.path().join("hard")).unwrap();
    for error in [folder.append("hard").unwrap_err(), folder.update("hard").unwrap_err()] {
        assert!(error.to_string().contains("2 names"), "{error}");
    }
    // A replacement is another file, so it takes the name and leaves the content.
    folder.write("hard", b"new").unwrap();
    assert_eq!(std::fs::read(outer.path().join("other/secret")).unwrap(), b"secret");

    if rustix::process::geteuid().is_root() {
        std::fs::write(folder.path().join("theirs"), "text").unwrap();
        std::os::unix::fs::chown(folder.path().join("theirs"), Some(12345), None).unwrap();
        for (call, error) in everything(&folder, "theirs") {
            let error = error.unwrap_or_else(|| panic!("{call}"));
            let told = error.to_string().contains("belongs to user 12345");
            assert!(call == "create_new" || told, "{call}: {error}");
        }
        let anybody = folder.clone().of_anybody();
        assert_eq!(anybody.read_to_string("theirs", 4).unwrap(), "text");
    }
}

#[test]
fn what_is_made_only_its_owner_can_read() {
    let (_outer, folder) = folder();
    let mode = |name: &str| {
        std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o7777
    };
    folder.make("a/b").unwrap();
    folder.append("a/appended").unwrap().write_all(b"1").unwrap();
    folder.append("a/appended").unwrap().write_all(b"2").unwrap();
    folder.create_new("a/b/new").unwrap();
    assert_eq!(folder.create_new("a/b/new").unwrap_err().kind(), ErrorKind::AlreadyExists);
    folder.write("written", b"text").unwrap();
    assert_eq!(folder.read("a/appended", 2).unwrap(), b"12");
    assert_eq!([mode(""), mode("a"), mode("a/b")], [0o700; 3]);
    assert_eq!([mode("a/appended"), mode("a/b/new"), mode("written")], [0o600; 3]);
    std::fs::set_permissions(folder.path().join("written"), PermissionsExt::from_mode(0o644))
        .unwrap();
    make_private(folder.append("written").unwrap()).unwrap();
    assert_eq!(mode("written"), 0o600);
}

#[test]
fn a_replacement_is_whole_or_not_there() {
    let (_outer, folder) = folder();
    folder.write("file", b"old").unwrap();
    let old = std::fs::metadata(folder.path().join("file")).unwrap().ino();
    let mut dropped = folder.replace("file").unwrap();
    dropped.write_all(b"half").unwrap();
    drop(dropped);
    assert_eq!(folder.read("file", 9).unwrap(), b"old");
    assert_eq!(std::fs::metadata(folder.path().join("file")).unwrap().ino(), old);
    folder.write("file", b"new").unwrap();
    assert_eq!(folder.read("file", 9).unwrap(), b"new");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let too_long = folder.read("file", 2).unwrap_err().to_string();
    assert!(too_long.contains("3 bytes") && too_long.contains("at most 2"), "{too_long}");
    assert!(folder.read_to_string("file", 9).is_ok());
    folder.write("file", b"\xff").unwrap();
    assert!(folder.read_to_string("file", 9).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn what_a_killed_writer_left_is_swept_and_nothing_else() {
    let (_outer, folder) = folder();
    let inner = folder.make("a").unwrap();
    let mut killed = inner.replace("file").unwrap();
    killed.write_all(b"half").unwrap();
    std::mem::forget(killed);
    inner.write(".faceshield-Ab3dEf.partial", b"").unwrap();
    for other in [".partial-short", ".partial-zz0000000000000000000000", "partial"] {
        inner.write(other, b"").unwrap();
    }
    assert_eq!(std::fs::read_dir(inner.path()).unwrap().count(), 5);
    folder.sweep("").unwrap();
    assert_eq!(std::fs::read_dir(inner.path()).unwrap().count(), 5);
    folder.sweep("a").unwrap();
    assert_eq!(std::fs::read_dir(inner.path()).unwrap().count(), 3);
}
