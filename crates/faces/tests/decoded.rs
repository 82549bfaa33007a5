//! The decoded cache: the same batches as without it, and nothing but a whole, fitting file.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{data_set, truncate};
use faces::{Error, Faces, Index, PairConfig, PairItem, PairLoader};
use tch::{Device, Tensor};

fn index(root: &Path) -> Arc<Index> {
    Arc::new(Index::build(root, None).unwrap())
}

/// A data set of four people with three images each, an image of 24 × 40 pixels and a broken
/// one among them, and its cache at 8 pixels.
fn cached(dir: &Path) -> (PathBuf, PathBuf) {
    let (root, file) = (dir.join("faces"), dir.join("cache/decoded.safetensors"));
    data_set(&root, 4, 3);
    image::RgbImage::from_fn(24, 40, |x, y| image::Rgb([x as u8 * 9, y as u8 * 6, 77]))
        .save(root.join("p01/0.png"))
        .unwrap();
    truncate(&root.join("p02/1.png"));
    let report = Faces::new(index(&root), 8, None).unwrap().write_cache(&file, None).unwrap();
    assert_eq!((report.images, report.unreadable.len()), (12, 1));
    assert_eq!(report.unreadable[0].path, "p02/1.png");
    assert_eq!(report.bytes, std::fs::metadata(&file).unwrap().len());
    (root, file)
}

fn epoch(faces: Faces, config: PairConfig) -> (Vec<PairItem>, Vec<Tensor>) {
    let loader = PairLoader::new(Arc::new(faces), config, 0, 1).unwrap();
    let batches: Vec<_> = loader.epoch(3, 0).map(Result::unwrap).collect();
    let tensors = batches.iter().map(|batch| {
        let (source, target) = batch.to_device(Device::Cpu).unwrap();
        Tensor::cat(&[source, target], 0)
    });
    let tensors = tensors.collect();
    assert_eq!(loader.faces().bad().files()[0].path, "p02/1.png");
    (batches.into_iter().flat_map(|batch| batch.items).collect(), tensors)
}

#[test]
fn batches_are_the_same_with_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let (root, file) = cached(dir.path());
    let mut seen = Vec::new();
    for (bgr, flip) in [(false, false), (true, false), (false, true), (true, true)] {
        let config = PairConfig { batch_size: 12, bgr, flip, workers: 2, ..PairConfig::default() };
        let plain = epoch(Faces::new(index(&root), 8, None).unwrap(), config.clone());
        let cached = epoch(Faces::new(index(&root), 8, Some(&file)).unwrap(), config);
        assert_eq!(plain, cached, "bgr {bgr}, flip {flip}");
        assert!(!seen.contains(&plain.1), "the options change nothing");
        seen.push(plain.1);
    }
}

/// The error of opening the cache, which must be one line with all of `expected` in it and
/// the command that makes a fitting cache.
fn refused(root: &Path, size: u32, file: &Path, expected: &[&str]) {
    let error = Faces::new(index(root), size, Some(file)).unwrap_err();
    assert!(matches!(error, Error::DecodedCache { .. }));
    let (message, root) = (error.to_string(), root.canonicalize().unwrap());
    let (root, file) = (root.display(), file.display());
    let command = format!("`faceshield data cache {root} --size {size} --out {file}`");
    assert!(!message.contains('\n') && message.contains(&command), "{message}");
    for text in expected {
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn caches_of_something_else_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (root, file) = cached(dir.path());
    refused(&root, 16, &file, &["8 pixels", "16 are wanted"]);
    refused(&root, 8, &dir.path().join("none"), &["none", "No such file"]);
    let bytes = std::fs::read(&file).unwrap();
    let replaced = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
        std::fs::write(&file, changed).unwrap();
    };
    replaced(r#""faceshield_decoded_cache":"1""#, r#""faceshield_decoded_cache":"2""#);
    refused(&root, 8, &file, &["format version 2", "reads 1"]);
    replaced(r#""faceshield_decoded_cache""#, r#""faceshield_decoded_cachf""#);
    refused(&root, 8, &file, &["no decoded cache"]);
    replaced(r#""decoder":""#, r#""decodes":""#);
    refused(&root, 8, &file, &["decoded by none"]);
    replaced("[12,3,8,8]", "[12,8,3,8]");
    refused(&root, 8, &file, &["no U8 tensor images of shape [12, 3, 8, 8]"]);
    std::fs::write(&file, &bytes).unwrap();
    Faces::new(index(&root), 8, Some(&file)).unwrap();
    truncate(&root.join("p00/0.png"));
    refused(&root, 8, &file, &["have changed"]);
}

#[test]
fn torn_files_and_garbage_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (root, file) = cached(dir.path());
    let bytes = std::fs::read(&file).unwrap();
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).unwrap();
        refused(&root, 8, &file, &[]);
    }
    std::fs::write(&file, [&bytes[..], b"x"].concat()).unwrap();
    refused(&root, 8, &file, &["1 bytes follow"]);
    std::fs::write(&file, "not a cache\n").unwrap();
    refused(&root, 8, &file, &[]);
    refused(&root, 8, dir.path(), &[]);
}

/// What would be SIGBUS with a memory map, and must not look like unreadable images.
#[test]
fn a_cache_cut_short_while_open_ends_the_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (root, file) = cached(dir.path());
    let faces = Arc::new(Faces::new(index(&root), 8, Some(&file)).unwrap());
    let loader = PairLoader::new(faces, PairConfig::default(), 0, 1).unwrap();
    assert!(loader.epoch(0, 0).all(|batch| batch.is_ok()));
    let length = std::fs::metadata(&file).unwrap().len();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    let error = loader.epoch(0, 0).find_map(Result::err).unwrap();
    assert!(matches!(error, Error::DecodedCache { .. }), "{error}");
    assert!(!error.to_string().contains('\n') && error.to_string().contains("data cache"));
}

#[test]
fn a_cache_written_to_while_open_ends_the_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (root, path) = cached(dir.path());
    let faces = Faces::new(index(&root), 8, Some(&path)).unwrap();
    faces.read(0).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified + std::time::Duration::from_nanos(1)).unwrap();
    let error = faces.read(0).unwrap_err();
    assert!(matches!(error, Error::DecodedCache { .. }), "{error}");
    assert!(error.to_string().contains("written to since it was opened"), "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let (root, file) = cached(dir.path());
    let faces = Faces::new(index(&root), 8, None).unwrap();
    let error = faces.write_cache(&file.join("below/a.safetensors"), None).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
    assert!(!error.to_string().contains('\n') && error.to_string().contains("a.safetensors"));
}
