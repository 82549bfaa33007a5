//! Which format a file has, told from its first bytes.

use crate::contents::Format;
use crate::error::Fault;

/// The format of a file that begins with `head` (its first 512 bytes, or all it has).
///
/// # Errors
/// [`Fault::Unknown`] says what else it looks like, [`Fault::CutShort`] if there is
/// too little to tell.
pub(crate) fn detect(head: &[u8]) -> Result<Format, Fault> {
    let unknown = |reason: &str| Err(Fault::Unknown(reason.to_string()));
    match head {
        [] => Err(Fault::CutShort("it is empty".to_string())),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Format::PthZip),
        [0x80, ..] => Ok(Format::PthLegacy),
        [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Format::Safetensors),
        _ if head.get(257..262) == Some(b"ustar") => {
            unknown("a tar archive (PyTorch before 0.1.10 wrote such); save it again with torch")
        }
        _ if head.starts_with(b"version https://git-lfs") => {
            unknown("a Git LFS pointer; fetch the file it stands for with `git lfs pull`")
        }
        _ if head.trim_ascii_start().starts_with(b"<") => {
            unknown("it looks like a web page; the download went wrong")
        }
        _ if head.len() < 16 => Err(Fault::CutShort(format!("{} bytes are left", head.len()))),
        _ => unknown("its first bytes belong to no known format"),
    }
}
