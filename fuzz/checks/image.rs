//! Image files: header, pixels, orientation, resizing. Images above a quarter of a million
//! pixels are only begun: the limits on them have tests of their own, and would take the
//! fuzzer its time.

use std::path::Path;

pub(crate) fn check(bytes: &[u8]) {
    match faces::decode_small(Path::new("input"), bytes, 1 << 18, 16) {
        Ok(image) => assert_eq!(image.dimensions(), (16, 16)),
        Err(error) => assert!(!error.to_string().contains('\n'), "not one line: {error}"),
    }
}
