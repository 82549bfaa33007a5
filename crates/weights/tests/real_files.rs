//! Files that PyTorch 2.13, safetensors and facenet-pytorch wrote, against what
//! Python found in them (tests/data/make.py, tests/data/expected.json).
#![cfg(feature = "tensors")]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::{Kind, Tensor};
use weights::{Archive, Format, Scalar};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn read(name: &str) -> Archive {
    weights::read(&data().join(name)).unwrap_or_else(|e| panic!("{e}"))
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let real = match tensor.kind() {
        Kind::ComplexHalf => tensor.to_kind(Kind::ComplexFloat).view_as_real(),
        Kind::ComplexFloat | Kind::ComplexDouble => tensor.view_as_real(),
        Kind::Bool => tensor.to_kind(Kind::Uint8),
        _ => tensor.shallow_clone(),
    };
    Vec::try_from(&real.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

fn same(found: &Scalar, want: &Value) -> bool {
    match found {
        Scalar::None => want.is_null(),
        Scalar::Bool(b) => want.as_bool() == Some(*b),
        Scalar::Int(n) => want.as_i64() == Some(*n),
        Scalar::Float(x) => {
            want.as_f64().is_some_and(|want| (x - want).abs() <= 4e-16 * want.abs())
        }
        Scalar::Text(t) => want.as_str() == Some(t),
    }
}

#[test]
fn every_file_holds_what_python_found_in_it() {
    let text = std::fs::read_to_string(data().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    for (file, want) in expected.as_object().unwrap() {
        let archive = read(file);
        let tensors = want["tensors"].as_object().unwrap();
        assert!(archive.tensors.keys().eq(tensors.keys()), "{file}: {:?}", archive.tensors.keys());
        for entry in archive.entries() {
            let entry = entry.unwrap();
            let (name, want) = (&entry.name, &tensors[&entry.name]);
            assert_eq!(entry.dtype, want["dtype"], "{file} {name}");
            assert_eq!(serde_json::json!(entry.shape), want["shape"], "{file} {name}");
            let found = numbers(&archive.tensors[name]);
            let want: Vec<f64> = serde_json::from_value(want["numbers"].clone()).unwrap();
            // Of the real model only the first numbers are recorded.
            for (found, want) in found.iter().zip(&want) {
                // serde_json may miss a number by one bit of a double.
                assert!((found - want).abs() <= 4e-16 * want.abs(), "{file} {name} {found} {want}");
            }
            assert!(want.len() == found.len() || file == "pnet.pt");
            let sum: f64 = found.iter().sum();
            assert!((entry.sum - sum).abs() <= 1e-9 * sum.abs().max(1.0), "{file} {name}");
        }
        let other = want["other"].as_object().unwrap();
        assert!(archive.other.keys().eq(other.keys()), "{file}: {:?}", archive.other.keys());
        for (name, found) in &archive.other {
            assert!(same(found, &other[name]), "{file} {name}: {found:?}, {}", other[name]);
        }
        let format = match file.rsplit_once('_') {
            _ if file.ends_with(".safetensors") => Format::Safetensors,
            Some((_, "zip.pth")) => Format::PthZip,
            _ => Format::PthLegacy,
        };
        assert_eq!(archive.format, format, "{file}");
    }
}

#[test]
fn shared_storages_stay_shared() {
    for file in ["views_zip.pth", "views_old.pth"] {
        let archive = read(file);
        let at = |name: &str| archive.tensors[name].data_ptr() as usize;
        assert_eq!(at("base"), at("tied"), "{file}");
        assert_eq!(at("base") + 5 * 4, at("slice"), "{file}");
        assert!(!archive.tensors["transposed"].is_contiguous());
    }
}

#[test]
fn the_text_table_of_safetensors_is_kept() {
    let archive = read("common.safetensors");
    assert_eq!(archive.metadata["format"], "pt");
    assert_eq!(archive.metadata["note"], "é");
}

#[test]
fn files_that_are_no_weights_say_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let error = |content: &[u8]| {
        let path = folder.path().join("weights.pth");
        std::fs::write(&path, content).unwrap();
        let text = weights::read(&path).unwrap_err().to_string();
        assert!(text.starts_with(&path.display().to_string()), "{text}");
        assert!(!text.contains('\n'), "{text}");
        text
    };
    assert!(error(b"").contains("empty"));
    assert!(error(b"abc").contains("cut short"));
    assert!(error(b"<!DOCTYPE html><html>").contains("web page"));
    assert!(error(b"version https://git-lfs.github.com/spec/v1\noid").contains("git lfs pull"));
    assert!(error(b"a text file of some length\n").contains("neither"));
    assert!(error(b"\x80\x02K\x01.").contains("not one that torch.save wrote"));
    let missing = weights::read(&folder.path().join("none.pth")).unwrap_err().to_string();
    assert!(missing.contains("none.pth: cannot be opened"), "{missing}");
    let directory = weights::read(folder.path()).unwrap_err().to_string();
    assert!(directory.contains("not a regular file"), "{directory}");
}

#[test]
fn damaged_elements_are_noticed_and_damaged_files_never_crash_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let mut bytes = std::fs::read(data().join("views_zip.pth")).unwrap();
    // The first element of a storage: 1.0 at index 1 of `base`.
    let at = bytes.windows(8).position(|w| w == [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40]).unwrap();
    bytes[at] = 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = weights::read(&path).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");

    // Every third byte of an old file, which has no checksums, changed in turn.
    let bytes = std::fs::read(data().join("dtypes_old.pth")).unwrap();
    let mut read = 0;
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        std::fs::write(&path, &damaged).unwrap();
        if let Ok(archive) = weights::read(&path) {
            assert!(archive.entries().all(|entry| entry.is_ok()));
            read += 1;
        }
    }
    assert!(read > 0 && read < bytes.len());
}
