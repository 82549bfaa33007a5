//! What a file holds, without its elements: names, types, shapes and where the
//! bytes lie. Every parser of this crate ends here, and only what passed the
//! checks of this module is ever turned into tensors.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Seek, SeekFrom};

use crate::detect::detect;
use crate::dtype::Dtype;
use crate::error::{Fault, printable};

/// A file format, told from the content and not from the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A safetensors file.
    Safetensors,
    /// PyTorch's zip archive (since 1.6).
    PthZip,
    /// PyTorch's older format: several pickles, then raw storages.
    PthLegacy,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Safetensors => "safetensors",
            Format::PthZip => "pth (zip)",
            Format::PthLegacy => "pth (old)",
        })
    }
}

/// A value of a checkpoint that is not a tensor, such as its epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number (one beyond 64 bits is kept as text).
    Int(i64),
    /// A number.
    Float(f64),
    /// Text; bytes are kept as text too, unreadable ones replaced.
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scalar::None => f.write_str("None"),
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::Int(value) => write!(f, "{value}"),
            Scalar::Float(value) => write!(f, "{value}"),
            Scalar::Text(value) => f.write_str(value),
        }
    }
}

/// A run of bytes in the file that one or several tensors look into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Where it begins, in bytes from the start of the file.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The CRC-32 the file claims for it, where the format has one.
    pub crc32: Option<u32>,
}

/// One tensor: a strided look into a storage. All numbers are in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Type of the elements.
    pub dtype: Dtype,
    /// Size of each dimension.
    pub shape: Vec<u64>,
    /// Distance in the storage between neighbours along each dimension.
    pub stride: Vec<u64>,
    /// Place of the first element in the storage.
    pub offset: u64,
    /// Position in [`Contents::storages`].
    pub storage: usize,
}

impl TensorInfo {
    /// Number of elements; `None` beyond 2⁶³.
    pub fn elements(&self) -> Option<u64> {
        elements(&self.shape)
    }
}

/// What a weights file holds. Every tensor in it is known to lie inside its
/// storage, and every storage inside the file.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The file's format.
    pub format: Format,
    /// Tensors by their flattened name.
    pub tensors: BTreeMap<String, TensorInfo>,
    /// The runs of bytes that the tensors look into.
    pub storages: Vec<Storage>,
    /// The storages' numbers have their most significant byte first.
    pub big_endian: bool,
    /// The text table of a safetensors file.
    pub metadata: BTreeMap<String, String>,
    /// What is not a tensor, by its flattened name.
    pub other: BTreeMap<String, Scalar>,
}

impl Contents {
    /// Describes the file behind `reader` without reading its elements. The format is
    /// told from the content.
    ///
    /// # Errors
    /// A [`Fault`] for anything but a complete, consistent file; no input makes this
    /// panic, run code, or allocate much more than the file's own size.
    pub fn parse<R: Read + Seek>(mut reader: R) -> Result<Contents, Fault> {
        let length = reader.seek(SeekFrom::End(0)).map_err(Fault::Io)?;
        reader.rewind().map_err(Fault::Io)?;
        let mut head = Vec::with_capacity(512);
        reader.by_ref().take(512).read_to_end(&mut head).map_err(Fault::Io)?;
        reader.rewind().map_err(Fault::Io)?;
        let contents = match detect(&head)? {
            Format::PthZip => crate::pth::zip::parse(reader, length)?,
            Format::PthLegacy => crate::pth::legacy::parse(reader, length)?,
            Format::Safetensors => crate::safetensors_header::parse(reader, length)?,
        };
        contents.check(length)?;
        Ok(contents)
    }

    /// The bounds that keep a hostile description from asking for more memory than
    /// the file can fill.
    fn check(&self, file_length: u64) -> Result<(), Fault> {
        let mut loaded = HashSet::new();
        let mut loaded_bytes = 0u64;
        let mut shown_bytes = 0u64;
        for (name, tensor) in &self.tensors {
            let wrong =
                |reason: String| Fault::corrupt(format!("the tensor {} {reason}", printable(name)));
            let storage = self
                .storages
                .get(tensor.storage)
                .ok_or_else(|| wrong("has no storage".to_string()))?;
            if storage.start.checked_add(storage.length).is_none_or(|end| end > file_length) {
                return Err(Fault::CutShort(format!(
                    "the data of the tensor {} should end at byte {} of {file_length}",
                    printable(name),
                    storage.start.saturating_add(storage.length),
                )));
            }
            let size = tensor.dtype.size();
            let elements = tensor
                .elements()
                .ok_or_else(|| wrong(format!("has an absurd shape {:?}", tensor.shape)))?;
            let end = span(tensor)
                .ok_or_else(|| wrong("has strides that overflow".to_string()))?
                .checked_mul(size)
                .ok_or_else(|| wrong("has an offset that overflows".to_string()))?;
            if end > storage.length {
                return Err(wrong(format!(
                    "reaches to byte {end} of a storage of {} bytes (shape {:?}, stride {:?}, \
                     offset {})",
                    storage.length, tensor.shape, tensor.stride, tensor.offset,
                )));
            }
            if loaded.insert((tensor.storage, tensor.dtype)) {
                loaded_bytes = loaded_bytes.saturating_add(storage.length);
            }
            shown_bytes = shown_bytes.saturating_add(elements.saturating_mul(size));
        }
        // Storages of an honest file do not overlap, so they cannot exceed it.
        if loaded_bytes > file_length {
            return Err(Fault::corrupt(format!(
                "its storages together claim {loaded_bytes} bytes of {file_length}"
            )));
        }
        // A stride of 0 repeats an element any number of times. Tied and expanded
        // weights are honest uses of it, but stay within a few times the file.
        if shown_bytes > file_length.saturating_mul(16).saturating_add(64 << 20) {
            return Err(Fault::corrupt(format!(
                "its tensors together claim {shown_bytes} bytes out of a file of {file_length}"
            )));
        }
        Ok(())
    }
}

/// Number of elements of a shape; `None` beyond 2⁶³ (libtorch's limit).
pub(crate) fn elements(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        // libtorch multiplies in order and would overflow on [2^40, 2^40, 0].
        return shape.iter().all(|&d| d <= i64::MAX as u64).then_some(0);
    }
    let count = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size))?;
    (count <= i64::MAX as u64).then_some(count)
}

/// Strides of a contiguous tensor. Call it on shapes that [`elements`] accepts.
pub(crate) fn contiguous(shape: &[u64]) -> Vec<u64> {
    let mut step = 1u64;
    let mut stride = vec![0; shape.len()];
    for (slot, &size) in stride.iter_mut().zip(shape).rev() {
        *slot = step;
        step = step.saturating_mul(size.max(1));
    }
    stride
}

/// Elements of the storage that the tensor needs, from the storage's start to behind
/// the tensor's last element; `None` on overflow or past libtorch's signed numbers.
fn span(tensor: &TensorInfo) -> Option<u64> {
    let signed = |n: &u64| i64::try_from(*n).is_ok();
    if tensor.shape.len() != tensor.stride.len()
        || !tensor.stride.iter().all(signed)
        || !signed(&tensor.offset)
    {
        return None;
    }
    if tensor.shape.contains(&0) {
        return Some(0);
    }
    let mut last = tensor.offset;
    for (&size, &stride) in tensor.shape.iter().zip(&tensor.stride) {
        last = last.checked_add((size - 1).checked_mul(stride)?)?;
    }
    last.checked_add(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tensor(shape: &[u64], stride: &[u64], offset: u64) -> TensorInfo {
        let (shape, stride) = (shape.to_vec(), stride.to_vec());
        TensorInfo { dtype: Dtype::Float32, shape, stride, offset, storage: 0 }
    }

    fn check(info: TensorInfo) -> Result<(), String> {
        let storages = vec![Storage { start: 100, length: 400, crc32: None }];
        let contents = Contents {
            format: Format::PthZip,
            tensors: BTreeMap::from([("w".to_string(), info)]),
            storages,
            big_endian: false,
            metadata: BTreeMap::new(),
            other: BTreeMap::new(),
        };
        contents.check(500).map_err(|fault| fault.to_string())
    }

    #[test]
    fn tensors_stay_inside_their_storage() {
        check(tensor(&[10, 10], &[10, 1], 0)).unwrap();
        check(tensor(&[10, 10], &[1, 10], 0)).unwrap();
        check(tensor(&[], &[], 99)).unwrap();
        check(tensor(&[0, 5], &[5, 1], 0)).unwrap();
        for (shape, stride, offset) in [
            (&[10u64, 10][..], &[10u64, 1][..], 1),
            (&[10, 10], &[11, 1], 0),
            (&[], &[], 100),
            (&[1 << 60], &[1], 0),
            (&[1 << 60, 1 << 60], &[0, 0], 0),
            (&[1 << 40], &[0], 0),
            (&[2, 2], &[u64::MAX, u64::MAX], 0),
            (&[2, 2], &[1, 1], u64::MAX),
            (&[0], &[u64::MAX], 0),
            (&[1, 1], &[1], 0),
        ] {
            check(tensor(shape, stride, offset)).unwrap_err();
        }
    }
}
