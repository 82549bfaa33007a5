//! The index on real folders: order, cache, bad files, and what a user is told.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{data_set, truncate};
use faces::{Error, Index, Links, Root, check};

fn names(index: &Index) -> Vec<&str> {
    index.images().iter().map(|image| image.path.as_str()).collect()
}

#[test]
fn sorted_by_person_with_endings_of_any_case() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    data_set(root, 1, 1);
    for name in ["b/2.JPG", "b/1.jpeg", "a/x/3.PNG", "a-b/1.webp", "B/1.Bmp", ".hidden/1.png"] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let format = image::ImageFormat::Png;
        image::RgbImage::new(4, 4).save_with_format(path, format).unwrap();
    }
    fs::write(root.join("b/notes.txt"), "").unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    let index = Index::build(root, None).unwrap();
    let expected = ["B/1.Bmp", "a/x/3.PNG", "a-b/1.webp", "b/1.jpeg", "b/2.JPG", "p00/0.png"];
    assert_eq!(names(&index), expected);
    let people: Vec<_> =
        index.people().iter().map(|p| (p.name.as_str(), p.images.clone())).collect();
    assert_eq!(people, [("B", 0..1), ("a", 1..2), ("a-b", 2..3), ("b", 3..5), ("p00", 5..6)]);
    assert!(
        index
            .images()
            .iter()
            .enumerate()
            .all(|(i, image)| { index.people()[image.person].images.contains(&i) })
    );
}

#[test]
fn cache_follows_the_content() {
    let dir = tempfile::tempdir().unwrap();
    let (root, cache) = (dir.path().join("data"), dir.path().join("cache"));
    data_set(&root, 2, 2);
    let load = |build| Index::load_or_build(&root, &cache, build).unwrap();
    let files = || fs::read_dir(&cache).map_or(0, |entries| entries.count());

    load(false);
    assert_eq!(files(), 0, "only the building rank writes");
    let built = load(true);
    assert_eq!(files(), 1, "one file, no temporary one beside it");
    assert_eq!(load(false), built);

    // A file that says other things than this user's program has written is not believed.
    let file = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let marked = text.replacen("\"width\":16", "\"width\":17", 1);
    assert_ne!(marked, text);
    fs::write(&file, &marked).unwrap();
    assert_eq!(load(false), built);
    // Nor one that lies behind a link, or is a FIFO, which would be waited for.
    let aside = dir.path().join("aside");
    fs::write(&aside, &text).unwrap();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&aside, &file).unwrap();
    assert_eq!(load(true), built);
    assert_eq!(fs::read_to_string(&aside).unwrap(), text, "nothing is written through a link");
    fs::remove_file(&file).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(fifo.success());
    assert_eq!(load(true), built);
    fs::remove_file(&file).unwrap();
    // One from before there was a code, or without it: made anew.
    let old = text.split_once('\n').unwrap().1.to_owned();
    fs::write(&file, &old).unwrap();
    assert_eq!(load(true), built);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    // Damaged in several ways: cut, not JSON, parts that do not fit each other, other root.
    let unfit = text.replacen("\"person\":1", "\"person\":9", 1);
    let elsewhere = text.replacen("\"root\":\"/", "\"root\":\"/other/", 1);
    for bad in [&text[..text.len() / 2], "", "{}", &unfit, &elsewhere] {
        fs::write(&file, bad).unwrap();
        assert_eq!(load(true), built);
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "rebuilt");
    }

    // A new file, a changed file, a removed file: three new keys.
    fs::copy(root.join("p00/0.png"), root.join("p01/new.png")).unwrap();
    let grown = load(false);
    assert_eq!(grown.images().len(), 5);
    assert_ne!((grown.key(), grown.digest()), (built.key(), built.digest()));
    truncate(&root.join("p01/new.png"));
    assert_ne!(load(true).key(), grown.key());
    assert_ne!(load(true).digest(), grown.digest(), "the same names, another size");
    fs::remove_file(root.join("p01/new.png")).unwrap();
    assert_eq!(load(true).images(), built.images());

    // A cache that cannot be written costs nothing but time.
    assert_eq!(
        Index::load_or_build(&root, &root.join("p00/0.png"), true).unwrap().images(),
        built.images()
    );
}

#[test]
fn digest_ignores_where_the_data_lies() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    data_set(&one, 2, 2);
    data_set(&two, 2, 2);
    let (one, two) = (Index::build(&one, None).unwrap(), Index::build(&two, None).unwrap());
    assert_eq!(one.digest(), two.digest());
    assert_ne!(one.key(), two.key());
}

#[test]
fn bad_headers_are_listed_and_a_full_check_finds_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    data_set(root, 3, 2);
    fs::write(root.join("p00/0.png"), "text").unwrap();
    truncate(&root.join("p01/1.png"));
    let index = Index::build(root, None).unwrap();
    assert_eq!(index.images().len(), 5);
    assert_eq!(index.bad().len(), 1);
    assert_eq!(index.bad()[0].path, "p00/0.png");

    let told = std::sync::atomic::AtomicUsize::new(0);
    let progress = |done: usize, all: usize| {
        assert!(done <= all && all == 6);
        told.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
    };
    let report = check(root, Some(&progress)).unwrap();
    assert_eq!((report.people, report.images), (3, 4));
    let bad: Vec<_> = report.bad.iter().map(|bad| bad.path.as_str()).collect();
    assert_eq!(bad, ["p00/0.png", "p01/1.png"]);
    assert!(report.bad.iter().all(|bad| !bad.reason.is_empty() && !bad.reason.contains('\n')));
    assert_eq!(told.into_inner(), 6);
}

#[test]
fn each_mistake_has_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let fails = |root: &Path, words: &str| {
        let message = Index::build(root, None).unwrap_err().to_string();
        assert!(message.contains(words) && !message.contains('\n'), "{words}: {message}");
        assert!(message.contains(root.file_name().unwrap().to_str().unwrap()), "{message}");
    };
    fails(&root.join("absent"), "no such folder");
    fs::write(root.join("file"), "").unwrap();
    fails(&root.join("file"), "not a folder");
    fs::create_dir_all(root.join("texts/p")).unwrap();
    fs::write(root.join("texts/p/a.txt"), "hello").unwrap();
    fails(&root.join("texts"), "no images");
    data_set(&root.join("one"), 1, 3);
    fails(&root.join("one"), "only one person (p00)");
    fails(&root.join("one/p00"), "3 images lie directly");
    data_set(&root.join("broken"), 1, 1);
    fs::write(root.join("broken/p00/0.png"), "text").unwrap();
    fails(&root.join("broken"), "none of the 1 images");
    assert!(matches!(check(&root.join("absent"), None), Err(Error::NoFolder(_))));
}

#[test]
fn links_are_followed_and_told_of_or_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let (root, away) = (dir.path().join("data"), dir.path().join("away"));
    data_set(&root, 2, 2);
    data_set(&away, 1, 2);
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
    link(&away.join("p00/0.png"), "p00/out.png");
    link(&away.join("p00"), "p02");
    link(&root.join("p00/0.png"), "p01/in.png");
    link(Path::new("p01"), "p03");
    let index = Index::build(&root, None).unwrap();
    assert_eq!((index.people().len(), index.images().len()), (4, 11));
    let note = index.links().note().unwrap();
    assert_eq!(index.links().count(), 2, "{note}");
    assert!(note.contains("p00/out.png -> ") && note.contains("away/p00/0.png"), "{note}");
    assert!(note.contains("p02 -> ") && note.contains("--no-follow"), "{note}");
    assert!(!note.contains("p03") && !note.contains("in.png"), "{note}");

    let skipping = Root { path: &root, links: Links::Skip };
    let index = Index::build(skipping, None).unwrap();
    assert_eq!((index.people().len(), index.images().len()), (2, 4));
    let note = index.links().note().unwrap();
    assert!(note.starts_with("4 symbolic links skipped: ") && note.contains("p03"), "{note}");
    assert_eq!(check(skipping, None).unwrap().images, 4);
    // The root itself may be one, and a data set without links is not remarked upon.
    let plain = dir.path().join("plain");
    std::os::unix::fs::symlink(&away, dir.path().join("link")).unwrap();
    data_set(&plain, 2, 1);
    assert_eq!(Index::build(&plain, None).unwrap().links().note(), None);
    let linked = dir.path().join("link");
    assert_eq!(check(Root { path: &linked, links: Links::Skip }, None).unwrap().images, 2);
}
