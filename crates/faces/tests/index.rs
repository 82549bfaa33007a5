//! The index on real folders: order, cache, bad files, and what a user is told.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::path::Path;

use common::{data_set, truncate};
use faces::{Error, Index, check};

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

    // What is read back is the file, not the folder: mark it and see.
    let file = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let marked = text.replacen("\"width\":16", "\"width\":17", 1);
    fs::write(&file, &marked).unwrap();
    assert_eq!(load(false).images()[0].width, 17);

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
