//! Writing: beside the destination, synced, renamed. Elements are streamed, so that
//! no second copy of the whole model is held.

use files::Escape;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use atomic_write_file::unix::OpenOptionsExt as _;
use atomic_write_file::{AtomicWriteFile, OpenOptions};
use tch::{Device, Tensor};

use crate::Tensors;
use crate::dtype::Dtype;
use crate::error::{Error, printable};

mod pickle;

/// Bytes written at once.
const CHUNK: usize = 8 << 20;

/// Writes a safetensors file: contiguous CPU copies of `tensors`, and `metadata` as
/// its text table. The same input gives the same bytes.
///
/// # Errors
/// [`Error::Write`] if the disk refuses, [`Error::Unwritable`] for a tensor of a type
/// the format lacks; in both cases an earlier file of that name is untouched.
pub fn write_safetensors(
    path: &Path,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    write_whole(path, shared(), |file| write_safetensors_open(file, path, tensors, metadata))
}

/// For what the umask may let others read, but not write.
fn shared() -> OpenOptions {
    let mut options = AtomicWriteFile::options();
    options.mode(0o644);
    options
}

/// As [`write_safetensors`], for what is derived from people and no model: only the file's owner
/// may read it, whatever the umask, and whoever could read what it replaces.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_safetensors_private(
    path: &Path,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let mut options = AtomicWriteFile::options();
    options.mode(0o600).preserve_mode(false);
    write_whole(path, options, |file| write_safetensors_open(file, path, tensors, metadata))
}

/// As [`write_safetensors`], to the end of an open file, which the caller syncs; `path` names
/// it in errors.
///
/// # Errors
/// As [`write_safetensors`], but what was written before the error stays.
pub fn write_safetensors_open(
    file: &mut File,
    path: &Path,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let mut items = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = checked(path, name, tensor)?;
        let stored = dtype.to_safetensors().ok_or_else(|| unwritable(path, name, dtype))?;
        if name == "__metadata__" {
            return Err(unwritable_because(path, name, "the name is reserved by the format"));
        }
        items.push((name, tensor, dtype, stored));
    }
    // Widest elements first, as the reference implementation: keeps all aligned.
    items.sort_by(|a, b| b.3.cmp(&a.3).then(a.0.cmp(b.0)));

    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_string(), serde_json::json!(metadata));
    }
    let mut end = 0u64;
    for (name, tensor, dtype, stored) in &items {
        let start = end;
        end += tensor.numel() as u64 * dtype.size();
        let entry = serde_json::json!({
            "dtype": stored.to_string(), "shape": tensor.size(), "data_offsets": [start, end],
        });
        header.insert(name.to_string(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    let put =
        |file: &mut File, bytes: &[u8]| file.write_all(bytes).map_err(|e| Error::write(path, e));
    put(file, &(header.len() as u64).to_le_bytes())?;
    put(file, &header)?;
    for (name, tensor, dtype, _) in &items {
        stream(path, name, tensor, *dtype, |bytes| file.write_all(bytes))?;
    }
    Ok(())
}

/// Writes a zip `.pth` file that `torch.load(path, weights_only=True)` reads as an
/// OrderedDict of contiguous tensors.
///
/// # Errors
/// As [`write_safetensors`].
pub fn write_pth(path: &Path, tensors: &Tensors) -> Result<(), Error> {
    let mut items = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = checked(path, name, tensor)?;
        let class = dtype.storage_class().ok_or_else(|| unwritable(path, name, dtype))?;
        items.push((name, tensor, dtype, class));
    }
    let records = items.iter().map(|(name, tensor, _, class)| pickle::Record {
        name: name.as_str(),
        class,
        shape: tensor.size(),
    });
    let pickle = pickle::state_dict(records);

    write_whole(path, shared(), |file| {
        let zip_failed = |e: zip::result::ZipError| Error::write(path, e.into());
        let mut zip = zip::ZipWriter::new(file);
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .with_alignment(64);
        for (name, bytes) in [
            ("archive/data.pkl", pickle.as_slice()),
            ("archive/byteorder", b"little"),
            ("archive/version", b"3\n"),
        ] {
            zip.start_file(name, options).map_err(zip_failed)?;
            zip.write_all(bytes).map_err(|e| Error::write(path, e))?;
        }
        for (position, (name, tensor, dtype, _)) in items.iter().enumerate() {
            let bytes = tensor.numel() as u64 * dtype.size();
            let options = options.large_file(bytes >= u64::from(u32::MAX));
            zip.start_file(format!("archive/data/{position}"), options).map_err(zip_failed)?;
            stream(path, name, tensor, *dtype, |bytes| zip.write_all(bytes))?;
        }
        zip.finish().map_err(zip_failed)?;
        Ok(())
    })
}

/// Runs `fill` on a file beside `path`, then syncs it, renames it to `path` and syncs
/// the folder. If anything fails, `path` is as before.
fn write_whole(
    path: &Path,
    options: OpenOptions,
    fill: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut file = options.open(path).map_err(|e| Error::write(path, e))?;
    fill(file.as_file_mut())?;
    file.commit().map_err(|e| Error::write(path, e))
}

/// The element type, if the tensor is one whose elements can be written at all.
fn checked(path: &Path, name: &str, tensor: &Tensor) -> Result<Dtype, Error> {
    if !tensor.defined() || tensor.is_sparse() || tensor.is_mkldnn() {
        return Err(unwritable_because(path, name, "it is undefined, sparse or of MKL-DNN layout"));
    }
    let kind = tensor.f_kind().map_err(|e| Error::libtorch(printable(name), e))?;
    Dtype::from_kind(kind).ok_or_else(|| unwritable_because(path, name, "it is quantised"))
}

fn unwritable(path: &Path, name: &str, dtype: Dtype) -> Error {
    unwritable_because(path, name, &format!("this format has no type {}", dtype.name()))
}

fn unwritable_because(path: &Path, name: &str, reason: &str) -> Error {
    Error::Unwritable {
        path: path.to_path_buf(),
        name: printable(name),
        reason: reason.to_string(),
    }
}

/// Hands the elements, contiguous and on the CPU, to `put`, some megabytes at a time.
fn stream(
    path: &Path,
    name: &str,
    tensor: &Tensor,
    dtype: Dtype,
    mut put: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Error> {
    let failed = |e| Error::libtorch(format!("{}: {}", path.escaped(), printable(name)), e);
    let flat = tensor
        .detach()
        .f_to_device(Device::Cpu)
        .and_then(|t| t.f_resolve_conj()?.f_resolve_neg()?.f_contiguous()?.f_view([-1]))
        .map_err(failed)?;
    let size = dtype.size() as usize;
    let per_chunk = CHUNK / size;
    let elements = flat.numel();
    let mut bytes = vec![0u8; elements.min(per_chunk) * size];
    for start in (0..elements).step_by(per_chunk) {
        let count = per_chunk.min(elements - start);
        let part = &mut bytes[..count * size];
        flat.f_narrow(0, start as i64, count as i64)
            .and_then(|view| view.f_copy_data_u8(part, count))
            .map_err(failed)?;
        put(part).map_err(|e| Error::write(path, e))?;
    }
    Ok(())
}
