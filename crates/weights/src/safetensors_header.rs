//! The safetensors header: eight bytes of length, then JSON, then the elements.
//! Parsing and validating is the `safetensors` crate's; only the header is read.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use safetensors::tensor::Metadata;

use crate::contents::{Contents, Format, Storage, TensorInfo, contiguous, elements};
use crate::dtype::Dtype;
use crate::error::{Fault, printable};
use crate::names::Names;

/// A tensor takes about 100 bytes. (The format allows 100 MB.)
const LONGEST_HEADER: u64 = 16 << 20;
/// What its tensors, names and numbers may take in memory, as [`claimed`] estimates it.
const MOST_CLAIMED: usize = 192 << 20;

/// About what the header's content takes in memory once parsed, told before it is parsed: JSON
/// cannot have an object without a brace, a pair without a colon, or a second item without a
/// comma.
fn claimed(header: &[u8]) -> usize {
    let cost = |byte: &u8| match byte {
        b'{' => 768,
        b':' => 192,
        b',' => 64,
        _ => 0,
    };
    header.iter().map(cost).sum()
}

/// Describes a safetensors file of `length` bytes.
pub(crate) fn parse<R: Read + Seek>(mut reader: R, length: u64) -> Result<Contents, Fault> {
    let mut prefix = [0u8; 8];
    reader.read_exact(&mut prefix).map_err(|e| Fault::io(e, "its header"))?;
    let header_length = u64::from_le_bytes(prefix);
    if header_length > LONGEST_HEADER {
        return Err(Fault::corrupt(format!("its header claims {header_length} bytes")));
    }
    let data_start = header_length + 8;
    if data_start > length {
        return Err(Fault::CutShort("it ends inside its header".to_string()));
    }
    let mut header = vec![0; header_length as usize];
    reader.read_exact(&mut header).map_err(|e| Fault::io(e, "its header"))?;
    if claimed(&header) > MOST_CLAIMED {
        return Err(Fault::corrupt("its header describes more tensors than any model has"));
    }
    // Metadata's deserialisation checks that the ranges are gapless and agree with
    // shapes and types.
    let header: Metadata = serde_json::from_slice(&header)
        // Its messages quote names.
        .map_err(|e| {
            Fault::corrupt(format!("its header is not valid: {}", printable(&e.to_string())))
        })?;
    let end = data_start.saturating_add(header.data_len() as u64);
    if end > length {
        return Err(Fault::CutShort(format!("{end} bytes expected, {length} found")));
    }
    if end < length {
        return Err(Fault::corrupt(format!("{} bytes follow its last tensor", length - end)));
    }

    let mut names = Names::default();
    let mut tensors = BTreeMap::new();
    let mut storages = Vec::new();
    for raw in header.offset_keys() {
        let Some(info) = header.info(&raw) else { continue };
        let dtype = Dtype::from_safetensors(info.dtype).ok_or_else(|| {
            Fault::Unsupported(format!(
                "the tensor {} has elements of type {}, which libtorch's Rust binding lacks; \
                 convert it to a common type",
                printable(&raw),
                info.dtype
            ))
        })?;
        let shape: Vec<u64> = info.shape.iter().map(|&size| size as u64).collect();
        if elements(&shape).is_none() {
            return Err(Fault::corrupt(format!("{} has an absurd shape", printable(&raw))));
        }
        let (start, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        storages.push(Storage { start: data_start + start, length: end - start, crc32: None });
        let (stride, storage) = (contiguous(&shape), storages.len() - 1);
        let info = TensorInfo { dtype, shape, stride, offset: 0, storage };
        tensors.insert(names.claim(&raw)?, info);
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Contents {
        format: Format::Safetensors,
        tensors,
        storages,
        big_endian: false,
        metadata,
        other: BTreeMap::new(),
    })
}
