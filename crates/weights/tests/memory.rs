//! How much memory a hostile file can make its reader take: no more than a few times 64 MiB,
//! whatever its content. Each file here is as long as a reader lets it be, and took gigabytes
//! or would have.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use weights::Contents;

/// Length of a pickle; 64 MiB are the most.
const LONG: usize = 63 << 20;
/// What the process may take at most, this test and its file's page included.
const MOST: u64 = 300 << 20;

/// Magic number, protocol number and an empty dict for the machine's facts.
const OLD_HEAD: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

/// The most memory that the process has had since [`forget_peak`].
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// A tensor over the storage `k`, which is kept in the memo as number 7: a global 1, arguments 2.
fn tensor(dimensions: usize) -> Vec<u8> {
    let ones = || [b"(".to_vec(), b"K\x00".repeat(dimensions), b"t".to_vec()].concat();
    [
        b"ctorch._utils\n_rebuild_tensor_v2\nq\x01((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
          X\x01\x00\x00\x00kX\x03\x00\x00\x00cpuK\x00NtQK\x00"
            .to_vec(),
        ones(),
        ones(),
        b"\x89Ntq\x02Rq\x07".to_vec(),
    ]
    .concat()
}

/// Pickles of about [`LONG`] bytes: `begin`, then `again` over and over, then `end`.
/// A name; then what comes before, is repeated, and comes after.
type Shape = (&'static str, Vec<u8>, Vec<u8>, Vec<u8>);

fn pickles() -> Vec<Shape> {
    let list = |again: &[u8]| (b"(".to_vec(), again.to_vec(), b"l".to_vec());
    let shapes = [
        ("empty dicts", list(b"}")),
        ("empty tuples", list(b")")),
        ("marks", (Vec::new(), b"(".to_vec(), Vec::new())),
        ("lists in lists", (b"N".to_vec(), b"\x85".to_vec(), Vec::new())),
        ("dicts of one", list(b"}NNs")),
        ("numbers", list(b"K\x01")),
        ("short texts", list(b"\x8c\x01a")),
        ("memo slots", (b"N".to_vec(), b"\x94".to_vec(), Vec::new())),
        ("long numbers", list(b"\x8a\x10aaaaaaaaaaaaaaaa")),
        ("recalled values", (b"Nq\x00(".to_vec(), b"h\x00".to_vec(), b"l".to_vec())),
        (
            "tensors of 64 dimensions",
            ([tensor(64), b"(".to_vec()].concat(), b"h\x01h\x02R".to_vec(), b"l".to_vec()),
        ),
        (
            "one tensor, many names",
            ([tensor(64), b"(".to_vec()].concat(), b"h\x07".to_vec(), b"l".to_vec()),
        ),
        (
            "copies of a list",
            (
                [b"]q\x00(".to_vec(), b"K\x01K\x02\x86".repeat(100_000), b"e0(".to_vec()].concat(),
                b"ccollections\nOrderedDict\nh\x00\x85R".to_vec(),
                b"l".to_vec(),
            ),
        ),
    ];
    shapes.map(|(name, (begin, again, end))| (name, begin, again, end)).into()
}

fn old_file(path: &Path, (begin, again, end): (&[u8], &[u8], &[u8])) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(OLD_HEAD).unwrap();
    file.write_all(b"\x80\x02").unwrap();
    file.write_all(begin).unwrap();
    for _ in 0..(LONG - begin.len()) / again.len() {
        file.write_all(again).unwrap();
    }
    file.write_all(end).unwrap();
    file.write_all(b".\x80\x02].").unwrap();
    file.flush().unwrap();
}

/// The same pickle as the archive's `data.pkl`.
fn zip_file(path: &Path, (begin, again, end): (&[u8], &[u8], &[u8])) {
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut writer = zip::ZipWriter::new(File::create(path).unwrap());
    writer.start_file("a/data.pkl", stored).unwrap();
    writer.write_all(begin).unwrap();
    let block = again.repeat((1 << 20) / again.len());
    for _ in 0..(LONG - begin.len()) / block.len() {
        writer.write_all(&block).unwrap();
    }
    writer.write_all(end).unwrap();
    writer.write_all(b".").unwrap();
    writer.finish().unwrap();
}

/// An archive of many empty entries: `count` records of 48 bytes in its directory.
fn many_entries(path: &Path, count: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(b"PK\x03\x04").unwrap();
    file.write_all(&[0; 26]).unwrap();
    for number in 0..count {
        let name = format!("{number:07}");
        let mut record = [0; 46];
        record[..4].copy_from_slice(b"PK\x01\x02");
        record[28] = name.len() as u8;
        file.write_all(&record).unwrap();
        file.write_all(name.as_bytes()).unwrap();
    }
    let length = count * (46 + 7);
    // The 64-bit end of the directory, its locator, and the end.
    let mut end = b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0".to_vec();
    for number in [count, count, length, 30] {
        end.extend(number.to_le_bytes());
    }
    end.extend(b"PK\x06\x07\0\0\0\0");
    end.extend((30 + length).to_le_bytes());
    end.extend(1u32.to_le_bytes());
    end.extend(b"PK\x05\x06\0\0\0\0");
    end.extend([0xff; 12]);
    end.extend([0; 2]);
    file.write_all(&end).unwrap();
    file.flush().unwrap();
}

fn safetensors(path: &Path, header: &str) {
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [length.as_slice(), header.as_bytes()].concat()).unwrap();
}

/// Parses the file; what it took, and how it was refused.
fn parse(what: &str, path: &Path) -> (u64, String) {
    forget_peak();
    let outcome = match Contents::parse(File::open(path).unwrap()) {
        Ok(contents) => format!("taken, {} tensors", contents.tensors.len()),
        Err(fault) => fault.to_string(),
    };
    let peak = peak();
    println!("{what}: {} MB: {outcome}", peak >> 20);
    assert!(peak < MOST, "{what}: {} MB: {outcome}", peak >> 20);
    assert!(!outcome.contains('\n'), "{outcome}");
    (peak, outcome)
}

#[test]
fn no_content_takes_much_more_memory_than_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for (name, begin, again, end) in pickles() {
        old_file(&path, (&begin, &again, &end));
        parse(name, &path);
        zip_file(&path, (&begin, &again, &end));
        parse(&format!("{name}, in a zip archive"), &path);
    }
    many_entries(&path, 1_200_000);
    parse("zip entries", &path);

    let tensors = |count: usize| {
        let each = |k: usize| format!(r#""{k}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
        format!("{{{}}}", (0..count).map(each).collect::<Vec<_>>().join(","))
    };
    safetensors(&path, &tensors(1_500_000));
    parse("tensors of a header", &path);
    safetensors(&path, &tensors(250_000));
    parse("tensors of a shorter header", &path);
    safetensors(&path, &tensors(100_000));
    assert_eq!(parse("an honest header", &path).1, "taken, 100000 tensors");
    let pairs = (0..1_500_000).map(|k| format!(r#""{k}":"""#)).collect::<Vec<_>>().join(",");
    safetensors(&path, &format!(r#"{{"__metadata__":{{{pairs}}}}}"#));
    parse("metadata", &path);
    let ones = "0,".repeat(8_000_000);
    safetensors(
        &path,
        &format!(r#"{{"a":{{"dtype":"U8","shape":[{ones}0],"data_offsets":[0,0]}}}}"#),
    );
    parse("dimensions", &path);
    safetensors(&path, &"[".repeat(16 << 20));
    parse("nested lists", &path);
}
