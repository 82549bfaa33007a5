//! Where results are written, and where not.

use std::path::Path;

use faces::save::{Inputs, SaveError, SaveOptions, Source, save};

use crate::originals::photo;

fn write(out: &Path, inputs: &Inputs, replace: bool) -> Result<(), SaveError> {
    let options = SaveOptions { replace, ..SaveOptions::default() };
    save(&photo(), out, &Source::default(), inputs, &options).map(drop)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_input_is_never_replaced_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input.png");
    photo().save(&input).unwrap();
    let content = std::fs::read(&input).unwrap();
    let link = dir.path().join("link.png");
    std::os::unix::fs::symlink("input.png", &link).unwrap();
    let other = dir.path().join("other.png");
    std::fs::hard_link(&input, &other).unwrap();
    let roundabout = dir.path().join(".").join("input.png");
    let inputs = Inputs::of([&input]).unwrap();
    let before = names(dir.path());
    for out in [&input, &link, &other, &roundabout] {
        for replace in [false, true] {
            let error = write(out, &inputs, replace).unwrap_err();
            assert!(matches!(error, SaveError::OverInput(_)), "{error}");
        }
    }
    assert_eq!(std::fs::read(&input).unwrap(), content);
    assert_eq!(names(dir.path()), before, "nothing is left behind");
}

#[test]
fn other_files_are_replaced_only_if_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.png");
    std::fs::write(&out, "something else").unwrap();
    let error = write(&out, &Inputs::default(), false).unwrap_err();
    assert!(matches!(error, SaveError::Exists(_)), "{error}");
    assert_eq!(std::fs::read(&out).unwrap(), b"something else");
    write(&out, &Inputs::default(), true).unwrap();
    assert_eq!(faces::read_photo(&out).unwrap(), photo());
    // A link that leads nowhere is something, too.
    let dangling = dir.path().join("dangling.png");
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    let error = write(&dangling, &Inputs::default(), false).unwrap_err();
    assert!(matches!(error, SaveError::Exists(_)), "{error}");
    assert_eq!(names(dir.path()), ["dangling.png", "out.png"]);
}

#[test]
fn errors_are_one_line_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let none = Inputs::default();
    let cases =
        [("a.gif", ".png, .jpg"), ("noending", ".png, .jpg"), ("no/such.png", "no/such.png")];
    for (name, part) in cases {
        let error = write(&dir.path().join(name), &none, false).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
    let options = SaveOptions { quality: Some(0), ..SaveOptions::default() };
    let out = dir.path().join("a.jpg");
    let error = save(&photo(), &out, &Source::default(), &none, &options).unwrap_err();
    assert!(matches!(error, SaveError::Quality(0)), "{error}");
    let wide = faces::RgbImage::new(65_536, 1);
    let error = save(&wide, &out, &Source::default(), &none, &SaveOptions::default()).unwrap_err();
    assert!(matches!(error, SaveError::Encode { width: 65_536, .. }), "{error}");
    assert!(matches!(Inputs::of([dir.path().join("absent")]), Err(SaveError::Input { .. })));
    assert!(names(dir.path()).is_empty());
}
