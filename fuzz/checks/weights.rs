//! Weights files: what the reader makes of some bytes must be sound.

// Each target uses one of the two.
#![allow(dead_code)]

use std::io::Cursor;

use weights::Contents;

const OLD_HEAD: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

/// Each input is tried as a whole file, and as the pickle inside an old `.pth` file, which
/// brings the pickle machine within reach of short inputs.
pub(crate) fn pth(bytes: &[u8]) {
    file(bytes);
    file(&[OLD_HEAD, bytes].concat());
}

/// Safetensors files, decoded caches among them. An input is the header's text up to the first
/// line break, which JSON needs nowhere, then the elements: the header's length, which a
/// fuzzer would have to guess with every change, is put before it.
pub(crate) fn safetensors(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (header, data) = bytes.split_at(end);
    let length = (header.len() as u64).to_le_bytes();
    file(&[&length, header, data.get(1..).unwrap_or_default()].concat());
}

/// Every tensor of what is accepted must lie inside its storage, every storage in the file.
fn file(bytes: &[u8]) {
    match Contents::parse(Cursor::new(bytes)) {
        Err(fault) => assert!(!fault.to_string().contains('\n'), "not one line: {fault}"),
        Ok(contents) => {
            for tensor in contents.tensors.values() {
                let storage = contents.storages[tensor.storage];
                assert!(storage.start + storage.length <= bytes.len() as u64);
                if !tensor.shape.contains(&0) {
                    let steps = tensor.shape.iter().zip(&tensor.stride);
                    let last: u64 = steps.map(|(size, stride)| (size - 1) * stride).sum();
                    let end = (tensor.offset + last + 1) * tensor.dtype.size();
                    assert!(end <= storage.length);
                }
            }
        }
    }
}
