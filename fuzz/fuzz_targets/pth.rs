//! The parser of weights files must not panic, hang, or believe a claim, whatever
//! the bytes are. Each input is tried as a whole file, and as the pickle inside an
//! old `.pth` file, which brings the pickle machine within reach of short inputs.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use weights::Contents;

const OLD_HEAD: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&[OLD_HEAD, bytes].concat());
});

fn check(bytes: &[u8]) {
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
