//! The real download, for people: `cargo test -p faces --test registries -- --ignored`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use faces::{Index, demo};

#[test]
#[ignore = "needs the package registries"]
fn demo_faces_from_the_registries() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faces-demo");
    let cache = demo::default_cache(&out);
    let report = demo::fetch(&out, &cache, &|line| println!("{line}")).unwrap();
    println!("{report:?}");
    let (people, faces) = if report.left_out.is_empty() { (20, 25) } else { (7, 11) };
    assert_eq!((report.people, report.faces), (people, faces));
    let index = Index::build(&out, None).unwrap();
    assert_eq!((index.people().len(), index.images().len()), (people, faces));
    assert!(index.images().iter().all(|image| (image.width, image.height) == (512, 512)));
    let again = demo::fetch(&out, &cache, &|line| println!("{line}")).unwrap();
    // What a failing npm left out is tried again each time; without npm, or with
    // everything there, nothing is left to do.
    assert!(again.up_to_date || !again.left_out.is_empty());
}
