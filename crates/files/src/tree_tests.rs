#![allow(clippy::unwrap_used)]
use super::*;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

/// A folder with a secret beside it.
fn folder() -> (tempfile::TempDir, PathBuf, Folder) {
    let outer = tempfile::tempdir().unwrap();
    let secret = outer.path().join("other/secret");
    fs::create_dir(outer.path().join("other")).unwrap();
    fs::write(&secret, "secret").unwrap();
    let folder = Folder::create(outer.path().join("out")).unwrap();
    (outer, secret, folder)
}

#[test]
fn what_is_removed_is_what_lies_in_the_folder() {
    let (outer, secret, folder) = folder();
    let at = |name: &str| folder.path().join(name);
    folder.make("tree/inner").unwrap();
    folder.write("tree/inner/file", b"text").unwrap();
    symlink(outer.path().join("other"), at("tree/inner/folder")).unwrap();
    symlink(&secret, at("tree/link")).unwrap();
    fs::hard_link(&secret, at("tree/hard")).unwrap();
    symlink(outer.path().join("other"), at("link")).unwrap();
    for path in ["link", "link/secret", "tree/link", "none", "../other", ""] {
        assert!(folder.remove_tree(path).is_err(), "{path}");
    }
    folder.remove_tree("tree").unwrap();
    assert!(!at("tree").exists());

    let deep: PathBuf = std::iter::repeat_n("a", DEEPEST + 1).collect();
    folder.make(&deep).unwrap();
    assert!(folder.remove_tree("a").unwrap_err().to_string().contains("deep"));
    assert!(at("a").join(deep.strip_prefix("a").unwrap()).is_dir());

    if rustix::process::geteuid().is_root() {
        folder.make("b/c").unwrap();
        folder.write("b/a", b"").unwrap();
        folder.write("b/c/theirs", b"").unwrap();
        std::os::unix::fs::chown(at("b/c/theirs"), Some(12345), None).unwrap();
        let error = folder.remove_tree("b").unwrap_err().to_string();
        assert!(error.contains("theirs in it: it belongs to user 12345"), "{error}");
        assert!(at("b/a").exists());
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
}

#[test]
fn nothing_is_moved_through_a_link_or_onto_another_thing() {
    let (outer, secret, folder) = folder();
    let at = |name: &str| folder.path().join(name);
    folder.write("file", b"text").unwrap();
    folder.make("tree").unwrap();
    symlink(outer.path().join("other"), at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    for (from, to) in [("link", "new"), ("link/secret", "new"), ("file", "link/new")] {
        assert!(folder.rename(from, to).is_err(), "{from} {to}");
    }
    for to in ["tree", "link", "dangling"] {
        assert_eq!(folder.rename("file", to).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(folder.make_new(to).unwrap_err().kind(), ErrorKind::AlreadyExists, "{to}");
    }
    folder.rename("file", "tree/file").unwrap();
    folder.rename("tree", "moved").unwrap();
    assert_eq!(folder.names().unwrap(), ["dangling", "link", "moved"]);
    assert_eq!(folder.inside("moved").read("file", 4).unwrap(), b"text");

    assert!(folder.has_folder("moved").unwrap() && !folder.has_folder("none").unwrap());
    assert!(folder.has_file("moved/file").unwrap() && !folder.has_file("none/at/all").unwrap());
    for name in ["dangling", "link", "moved"] {
        assert!(folder.has_file(name).is_err(), "{name}");
        assert!(name == "moved" || folder.has_folder(name).is_err(), "{name}");
    }
    fs::hard_link(&secret, at("hard")).unwrap();
    assert!(folder.has_file("hard").unwrap_err().to_string().contains("2 names"));
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
}

/// Also when it has become one since.
#[test]
fn a_folder_below_is_no_link() {
    let (outer, _, folder) = folder();
    let inner = folder.make("inner").unwrap();
    fs::remove_dir(inner.path()).unwrap();
    symlink(outer.path().join("other"), inner.path()).unwrap();
    for error in [inner.read("secret", 9).unwrap_err(), inner.append("new").unwrap_err()] {
        assert!(error.to_string().contains("inner on the way is a symbolic link"), "{error}");
    }
    assert!(inner.names().is_err() && inner.sync().is_err());
    // What the user names may be one.
    assert_eq!(Folder::at(inner.path()).read("secret", 9).unwrap(), b"secret");
}

#[test]
fn temporary_folders_are_swept_and_shared_ones_are_the_umasks() {
    let (_outer, _, folder) = folder();
    let name = folder.make_temporary("tree").unwrap();
    assert!(name.starts_with(".tree.") && name.ends_with(".tmp"), "{name}");
    folder.write(Path::new(&name).join("file"), b"half").unwrap();
    let digits: String = name.chars().skip(6).take(24).collect();
    for other in [".tree.tmp".to_owned(), format!("tree.{digits}.tmp"), format!(".{digits}.tmp")] {
        folder.make(other).unwrap();
    }
    folder.sweep("").unwrap();
    assert_eq!(folder.names().unwrap().len(), 3);

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let shared = Folder::at(folder.path().join("shared")).shared().created().unwrap();
    shared.create_new("file").unwrap();
    // As std makes them, which leaves it to the umask.
    fs::create_dir(folder.path().join("plain")).unwrap();
    fs::write(folder.path().join("plain/file"), "").unwrap();
    for name in ["", "file"] {
        let plain = folder.path().join("plain").join(name);
        assert_eq!(mode(&shared.path().join(name)), mode(&plain), "{name}");
    }
}
