//! Hostile and damaged files: each is refused in one line, nothing is executed, no
//! claim is believed before it is checked. These need no libtorch: they end at the
//! description, from which tensors are built only if it is sound.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use weights::{Contents, Fault};

/// Magic number, protocol number and an empty dict for the machine's facts.
const OLD_HEAD: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

fn parse(bytes: &[u8]) -> Result<Contents, Fault> {
    Contents::parse(Cursor::new(bytes))
}

/// The old format with `pickle` as its object and no storages.
fn old(pickle: &[u8]) -> Vec<u8> {
    [OLD_HEAD, b"\x80\x02", pickle, b".\x80\x02]."].concat()
}

/// The old format with `pickle` as its object and one storage `k` of `elements` claimed
/// elements with the bytes `data`.
fn old_with_storage(pickle: &[u8], elements: u64, data: &[u8]) -> Vec<u8> {
    let keys = b".\x80\x02]X\x01\x00\x00\x00ka.";
    [OLD_HEAD, b"\x80\x02", pickle, keys, &elements.to_le_bytes(), data].concat()
}

/// A tensor over the storage `k`, all numbers as claimed.
fn tensor(elements: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let whole = |n: i64| [b"\x8a\x08".as_slice(), &n.to_le_bytes()].concat();
    let tuple = |numbers: &[i64]| {
        [b"(".to_vec(), numbers.iter().flat_map(|&n| whole(n)).collect(), b"t".to_vec()].concat()
    };
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
          X\x01\x00\x00\x00kX\x03\x00\x00\x00cpu"
            .to_vec(),
        whole(elements),
        b"NtQ".to_vec(),
        whole(offset),
        tuple(shape),
        tuple(stride),
        b"\x89NtR".to_vec(),
    ]
    .concat()
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(*name, stored).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn refused(bytes: &[u8]) -> String {
    let text = parse(bytes).unwrap_err().to_string();
    assert!(!text.contains('\n') && text.len() < 600, "{text}");
    text
}

#[test]
fn classes_outside_the_list_are_named_and_not_called() {
    let mark = std::env::temp_dir().join(format!("weights_hostile_{}", std::process::id()));
    let command = format!("touch {}", mark.display());
    let text = [b"X", (command.len() as u32).to_le_bytes().as_slice(), command.as_bytes()].concat();
    for (opcodes, name) in [
        ([b"cos\nsystem\n(".as_slice(), &text, b"tR"].concat(), "os.system"),
        ([b"cposix\nsystem\n(", text.as_slice(), b"tR"].concat(), "posix.system"),
        ([b"cbuiltins\neval\n(", text.as_slice(), b"tR"].concat(), "builtins.eval"),
        ([b"c__builtin__\ngetattr\n(", text.as_slice(), b"tR"].concat(), "__builtin__.getattr"),
        (b"\x8c\x02os\x8c\x06system\x93".to_vec(), "os.system"),
        ([b"(", text.as_slice(), b"ios\nsystem\n"].concat(), "os.system"),
        (b"ctorch\nload\n)R".to_vec(), "torch.load"),
        (b"ctorch\n_utils._rebuild_tensor\n)R".to_vec(), "torch._utils._rebuild_tensor"),
        (b"ctorch._utils\n_rebuild_sparse_tensor\n)R".to_vec(), "_rebuild_sparse_tensor"),
        (b"cnumpy.core.multiarray\nscalar\n)R".to_vec(), "numpy.core.multiarray.scalar"),
        (b"cmodels.xception\nXception\n)\x81".to_vec(), "models.xception.Xception"),
    ] {
        let pickle = [b"\x80\x02", opcodes.as_slice(), b"."].concat();
        for file in [old(&opcodes), zip(&[("a/data.pkl", &pickle)])] {
            let fault = parse(&file).unwrap_err();
            assert!(matches!(&fault, Fault::Forbidden(_)), "{fault}");
            assert!(fault.to_string().contains(name), "{fault}");
        }
    }
    assert!(!mark.exists());
}

#[test]
fn allowed_names_are_called_with_their_own_arguments_only() {
    for opcodes in [
        b"ccollections\nOrderedDict\nK\x01\x85R".as_slice(),
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR",
        b"ctorch._utils\n_rebuild_parameter\nN\x85R",
        b"ctorch\nFloatStorage\n)R",
        b"ctorch\nfloat32\n)R",
        b"ctorch\nTensor\n)R",
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nTensor\n)NtR",
        b"K\x01)R",
        b"K\x01Q",
        b"}K\x01b",
        b"K\x01}b",
        b"(tQ",
    ] {
        // What is left on the stack may be fine; what must not happen is a panic or a
        // tensor out of nothing.
        if let Ok(contents) = parse(&old(opcodes)) {
            assert!(contents.tensors.is_empty());
        }
    }
}

#[test]
fn sizes_and_strides_beyond_the_storage_are_refused() {
    let data = [0u8; 16];
    let file = |pickle: &[u8], elements| old_with_storage(pickle, elements, &data);
    parse(&file(&tensor(4, 0, &[2, 2], &[2, 1]), 4)).unwrap();
    for (pickle, elements, says) in [
        (tensor(4, 1, &[2, 2], &[2, 1]), 4, "storage of 16 bytes"),
        (tensor(4, 0, &[2, 2], &[3, 1]), 4, "storage of 16 bytes"),
        (tensor(4, 0, &[1 << 60], &[0]), 4, "claim"),
        (tensor(4, 0, &[1 << 60, 1 << 60], &[0, 0]), 4, "absurd shape"),
        (tensor(4, 0, &[2, 2], &[i64::MAX, i64::MAX]), 4, "overflow"),
        (tensor(4, i64::MAX, &[2], &[1]), 4, "overflow"),
        (tensor(4, -1, &[2], &[1]), 4, "offset is not made of"),
        (tensor(4, 0, &[-2], &[1]), 4, "shape is not made of"),
        (tensor(4, 2, &[2], &[-1]), 4, "stride is not made of"),
        (tensor(4, 0, &[2], &[1, 1]), 4, "strides"),
        (tensor(4, 0, &[1; 65], &[1; 65]), 4, "shape is not made of"),
        (tensor(1 << 60, 0, &[1 << 60], &[1]), 1 << 60, "cut short"),
        (tensor(1 << 62, 0, &[1 << 62], &[1]), 1 << 62, "cut short"),
        (tensor(5, 0, &[2], &[1]), 4, "should have 5 elements"),
        (tensor(5, 0, &[2], &[1]), 5, "cut short"),
    ] {
        let text = refused(&file(&pickle, elements));
        assert!(text.contains(says), "{says}: {text}");
    }
}

#[test]
fn pickles_that_claim_or_unfold_without_end_are_refused() {
    // Claims of 2^32 - 1 and 2^63 bytes of text.
    assert!(refused(&old(b"X\xff\xff\xff\xff")).contains("64 MiB"));
    assert!(refused(&old(b"\x8d\x00\x00\x00\x00\x00\x00\x00\x80")).contains("64 MiB"));
    assert!(refused(&old(b"\x8b\xff\xff\xff\x7f")).contains("whole number"));
    assert!(refused(&old(b"h\x07")).contains("never kept"));
    assert!(refused(&old(b"0")).contains("more than it put"));
    assert!(refused(&old(b"K\x01(0")).contains("more than it put"));
    assert!(refused(&old(b"I01\n")).contains("opcode 0x49"));
    // A list in itself, and one nested a hundred thousand deep.
    assert!(refused(&old(b"]q\x00h\x00a")).contains("deep"));
    let deep = [vec![b']'; 100_000], vec![b'a'; 99_999]].concat();
    assert!(refused(&old(&deep)).contains("deep"));
    // Ten references to ten references …, ten levels deep: 10^10 values.
    let mut laughs = b"]q\x00(K\x01e".to_vec();
    for level in 1..=10u8 {
        laughs.extend([b']', b'q', level, b'(']);
        laughs.extend([b'h', level - 1].repeat(10));
        laughs.push(b'e');
    }
    assert!(refused(&old(&laughs)).contains("without end"));
    // A list of pairs copied into one dict after another.
    let mut copies = b"]q\x00(".to_vec();
    copies.extend(b"K\x01K\x02\x86".repeat(20_000));
    copies.extend(b"e0(");
    copies.extend(b"ccollections\nOrderedDict\nh\x00\x85R".repeat(1000));
    copies.extend(b"t");
    assert!(refused(&old(&copies)).contains("more than 96 MiB"));
}

#[test]
fn odd_zip_archives_are_refused() {
    let pickle = [b"\x80\x02".as_slice(), &tensor(4, 0, &[4], &[1]), b"."].concat();
    let data = [0u8; 16];
    parse(&zip(&[("a/data.pkl", &pickle), ("a/data/k", &data)])).unwrap();
    let refused_zip = |entries: &[(&str, &[u8])]| refused(&zip(entries));
    assert!(refused_zip(&[("a/other", &data)]).contains("without data.pkl"));
    assert!(refused_zip(&[("a/data.pkl", &pickle)]).contains("lacks the storage"));
    assert!(
        refused_zip(&[("a/data.pkl", &pickle), ("b/data.pkl", &pickle)]).contains("more than one")
    );
    assert!(
        refused_zip(&[("a/data.pkl", b"N."), ("a/constants.pkl", b"")]).contains("TorchScript")
    );
    assert!(refused_zip(&[("a/data.pkl", b"N."), ("a/byteorder", b"odd")]).contains("byteorder"));
    assert!(refused_zip(&[("a/data.pkl", &pickle), ("a/data/k", &data[..8])]).contains("8 bytes"));

    // Two entries of one name: written under two names of one length, then renamed.
    let mut twice = zip(&[("a/data.pkl", b"N."), ("a/data.pkm", b"N.")]);
    for at in 0..twice.len() - 4 {
        if &twice[at..at + 4] == b".pkm" {
            twice[at + 3] = b'l';
        }
    }
    assert!(refused(&twice).contains("same name"));

    // A compressed entry, the usual bomb: its method in both headers becomes deflate.
    let mut bomb = zip(&[("a/data.pkl", &pickle), ("a/data/k", &data)]);
    let central = bomb.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bomb[8] = 8;
    bomb[central + 10] = 8;
    assert!(refused(&bomb).contains("compressed"));

    // A stored entry that claims to unfold to more than it occupies.
    let mut two_sizes = zip(&[("a/data.pkl", &pickle), ("a/data/k", &data)]);
    let central = two_sizes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    two_sizes[central + 24 + 3] = 0x7f;
    assert!(refused(&two_sizes).contains("two sizes"));

    // Another byte in the pickle: the checksum tells.
    let mut changed = zip(&[("a/data.pkl", &pickle), ("a/data/k", &data)]);
    let at = changed.windows(3).position(|w| w == b"cpu").unwrap();
    changed[at] = b'd';
    assert!(refused(&changed).contains("checksum"));
}

#[test]
fn odd_safetensors_are_refused() {
    let file = |header: &str, data: &[u8]| {
        [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), data].concat()
    };
    let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    parse(&file(header, &[0; 8])).unwrap();
    assert!(refused(&file(header, &[0; 7])).contains("cut short"));
    assert!(refused(&file(header, &[0; 9])).contains("follow its last tensor"));
    for header in [
        r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
        r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
        r#"{"w":{"dtype":"U16","shape":[4],"data_offsets":[0,8]}}"#,
        r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
            "module.w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        r#"{"w":"#,
        // Found by the fuzzer: the name came out as it is.
        r#"{"a\nb":{"dtype":"U8","shape":[],"data_offsets":[5,2]}}"#,
        &format!(r#"{{"{}":{{"dtype":"U8","shape":[],"data_offsets":[5,2]}}}}"#, "x".repeat(9999)),
    ] {
        refused(&file(header, &[0; 8]));
    }
    let mut long = file(header, &[0; 8]);
    long[7] = 0x7f;
    assert!(refused(&long).contains("claims"));
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "pth" || e == "safetensors"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for (name, bytes) in fixtures() {
        parse(&bytes).unwrap();
        for length in 0..bytes.len() {
            let cut = parse(&bytes[..length]);
            assert!(cut.is_err(), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn flipped_bits_never_panic_and_never_escape_the_file() {
    let files = fixtures();
    // Seeded: the same 6000 damaged files in every run, so no false alarms.
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[20; 32]);
    let config = Config { cases: 6000, failure_persistence: None, ..Config::default() };
    let flips = prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..5);
    TestRunner::new_with_rng(config, rng)
        .run(&(any::<prop::sample::Index>(), flips), |(file, flips)| {
            let mut bytes = file.get(&files).1.clone();
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            match parse(&bytes) {
                Err(fault) => prop_assert!(!fault.to_string().contains('\n'), "{}", fault),
                Ok(contents) => {
                    for tensor in contents.tensors.values() {
                        let storage = contents.storages[tensor.storage];
                        prop_assert!(storage.start + storage.length <= bytes.len() as u64);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}
