//! What this crate writes, it reads back; that PyTorch and Python's safetensors read
//! it too is checked by tests/data/check.py.
#![cfg(feature = "tensors")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};
use weights::{Error, Tensors, read, write_pth, write_safetensors};

const CPU: Device = Device::Cpu;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn equal(a: &Tensors, b: &Tensors) {
    assert!(a.keys().eq(b.keys()));
    for (name, a) in a {
        let b = &b[name];
        assert_eq!((a.kind(), a.size()), (b.kind(), b.size()), "{name}");
        let bits = |t: &Tensor| {
            let mut bytes = vec![0; t.numel() * t.kind().elt_size_in_bytes()];
            t.contiguous().copy_data_u8(&mut bytes, t.numel());
            bytes
        };
        assert_eq!(bits(a), bits(b), "{name}");
    }
}

#[test]
fn both_formats_return_every_type_and_layout() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["dtypes_zip.pth", "views_zip.pth", "checkpoint_old.pth", "float8_zip.pth"] {
        let mut tensors = read(&data(file)).unwrap().tensors;
        let pth = folder.path().join(format!("out_{file}"));
        if file == "float8_zip.pth" {
            let error = write_pth(&pth, &tensors).unwrap_err();
            assert!(matches!(error, Error::Unwritable { .. }), "{error}");
            assert!(!pth.exists());
        } else {
            write_pth(&pth, &tensors).unwrap();
            equal(&tensors, &read(&pth).unwrap().tensors);
        }
        // safetensors has no such types.
        tensors.remove("complex128");
        tensors.remove("half_complex");
        let safetensors = folder.path().join("out.safetensors");
        let metadata = BTreeMap::from([("step".to_string(), "7".to_string())]);
        write_safetensors(&safetensors, &tensors, &metadata).unwrap();
        let archive = read(&safetensors).unwrap();
        equal(&tensors, &archive.tensors);
        assert_eq!(archive.metadata, metadata);
    }
}

#[test]
fn storages_larger_than_a_chunk_survive() {
    // Three 8 MiB chunks and a rest, not contiguous.
    let big = Tensor::arange(6_500_000, (Kind::Float, CPU)).view([2500, 2600]).tr();
    let tensors = Tensors::from([("big".to_string(), big)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big");
    write_pth(&path, &tensors).unwrap();
    equal(&tensors, &read(&path).unwrap().tensors);
    write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    equal(&tensors, &read(&path).unwrap().tensors);
}

#[test]
fn the_same_tensors_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let tensors = read(&data("state_dict_zip.pth")).unwrap().tensors;
    let pairs = [("b", "2"), ("a", "1"), ("c", "3")];
    let metadata = pairs.map(|(k, v)| (k.to_string(), v.to_string())).into_iter().collect();
    let bytes = |name: &str| {
        let path = folder.path().join(name);
        match name.ends_with("pth") {
            true => write_pth(&path, &tensors).unwrap(),
            false => write_safetensors(&path, &tensors, &metadata).unwrap(),
        }
        std::fs::read(&path).unwrap()
    };
    assert_eq!(bytes("1.safetensors"), bytes("2.safetensors"));
    assert_eq!(bytes("1.pth"), bytes("2.pth"));
}

#[test]
fn a_refused_tensor_leaves_the_earlier_file_and_no_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, "earlier").unwrap();
    let bad = Tensor::zeros([2], (Kind::ComplexDouble, CPU));
    let tensors = Tensors::from([("a\nb".to_string(), bad)]);
    let error = write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("a\\nb") && error.contains("complex128"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"earlier");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("none/model.pth");
    let error = write_pth(&nowhere, &Tensors::new()).unwrap_err().to_string();
    assert!(error.contains("none/model.pth: cannot be written"), "{error}");
}
