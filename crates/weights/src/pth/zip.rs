//! The zip format: `NAME/data.pkl`, `NAME/byteorder`, `NAME/data/KEY`, all stored.

use std::io::{BufReader, Read, Seek};

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::bounded::Bounded;
use super::{flatten, place};
use crate::contents::{Contents, Format, Storage};
use crate::error::{Fault, printable};
use crate::pickle::{Arena, Ref, Source, load};

/// Longer ones are refused by the pickle machine anyway.
const LONGEST_PICKLE: u64 = 64 << 20;

/// What is read to find the entries: the directory, about 100 bytes an entry.
const LONGEST_DIRECTORY: u64 = 8 << 20;

/// Describes a zip archive of `length` bytes.
pub(crate) fn parse<R: Read + Seek>(reader: R, length: u64) -> Result<Contents, Fault> {
    let (reader, allowance) = Bounded::new(BufReader::new(reader), LONGEST_DIRECTORY);
    let mut archive = ZipArchive::new(reader).map_err(|e| match e {
        ZipError::Io(e) => Fault::io(e, "its zip directory"),
        // The directory is at the end: without it the end is missing.
        e => Fault::CutShort(format!("its zip directory cannot be read: {}", one_line(&e))),
    })?;
    allowance.set(u64::MAX);
    if archive.has_duplicate_names() {
        return Err(Fault::corrupt("two entries of its zip directory have the same name"));
    }
    let prefix = prefix(&archive)?;
    let big_endian = match read(&mut archive, &format!("{prefix}byteorder"), 16, length)?.as_deref()
    {
        None | Some(b"little") => false,
        Some(b"big") => true,
        Some(_) => return Err(Fault::corrupt("its byteorder is neither little nor big")),
    };
    let (arena, root) = pickle(&mut archive, &format!("{prefix}data.pkl"), length)?
        .ok_or_else(|| Fault::corrupt("it has no data.pkl"))?;
    let flat = flatten(&arena, root)?;
    let (tensors, storages) = place(flat.tensors, |claim| {
        find(&mut archive, &format!("{prefix}data/{}", claim.key), length)?.ok_or_else(|| {
            Fault::corrupt(format!("it lacks the storage data/{}", printable(&claim.key)))
        })
    })?;
    Ok(Contents {
        format: Format::PthZip,
        tensors,
        storages,
        big_endian,
        metadata: Default::default(),
        other: flat.other,
    })
}

/// The folder in the archive that holds `data.pkl`, with its slash.
fn prefix<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<String, Fault> {
    let mut found = None;
    for name in archive.file_names_raw() {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let Some(prefix) = name.strip_suffix("data.pkl") else { continue };
        let one_folder = prefix.is_empty()
            || prefix.strip_suffix('/').is_some_and(|folder| !folder.contains('/'));
        if one_folder && found.replace(prefix.to_string()).is_some() {
            return Err(Fault::corrupt("it holds more than one data.pkl"));
        }
    }
    let prefix = found.ok_or_else(|| {
        Fault::Unknown("a zip archive without data.pkl, so not one that torch.save wrote".into())
    })?;
    if archive.index_for_name(&format!("{prefix}constants.pkl")).is_some() {
        return Err(Fault::Unsupported(
            "this is a TorchScript program, which this reader does not run; save its \
             state_dict() with torch.save"
                .to_string(),
        ));
    }
    Ok(prefix)
}

/// Where an entry's bytes lie.
fn find<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    length: u64,
) -> Result<Option<Storage>, Fault> {
    let Some(index) = archive.index_for_name(name) else { return Ok(None) };
    let wrong = |reason: String| Fault::corrupt(format!("its entry {} {reason}", printable(name)));
    let entry = archive.by_index_raw(index).map_err(|e| match e {
        ZipError::Io(e) => Fault::io(e, "a zip entry"),
        e => wrong(format!("cannot be read: {}", one_line(&e))),
    })?;
    if entry.encrypted() {
        return Err(Fault::Unsupported("its entries are encrypted; decrypt it first".into()));
    }
    if entry.compression() != ::zip::CompressionMethod::Stored {
        return Err(Fault::Unsupported(format!(
            "its entry {} is compressed, which torch.save never does; save it again with torch",
            printable(name)
        )));
    }
    if entry.size() != entry.compressed_size() {
        return Err(wrong("is stored and has two sizes".to_string()));
    }
    let start = entry.data_start().ok_or_else(|| wrong("has no data".to_string()))?;
    let storage = Storage { start, length: entry.size(), crc32: Some(entry.crc32()) };
    match storage.start.checked_add(storage.length) {
        Some(end) if end <= length => Ok(Some(storage)),
        _ => Err(wrong("reaches beyond the end of the file".to_string())),
    }
}

/// The bytes of a small entry, checked against its CRC-32.
fn read<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    longest: u64,
    length: u64,
) -> Result<Option<Vec<u8>>, Fault> {
    let mut bytes = Vec::new();
    let found = with_entry(archive, name, longest, length, |entry| {
        entry.read_to_end(&mut bytes).map_err(|e| Fault::io(e, "a zip entry"))
    })?;
    Ok(found.map(|_| bytes))
}

/// The values of an entry that is a pickle. It is read piece by piece: all of it beside its values
/// would be another 64 MiB.
fn pickle<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    length: u64,
) -> Result<Option<(Arena, Ref)>, Fault> {
    with_entry(archive, name, LONGEST_PICKLE, length, |entry| {
        load(&mut Source::new(BufReader::new(entry)))
    })
}

/// What `take` makes of an entry of at most `longest` bytes, whose CRC-32 is checked before that
/// is believed, be it a fault; nothing where there is no such entry.
fn with_entry<R: Read + Seek, T>(
    archive: &mut ZipArchive<R>,
    name: &str,
    longest: u64,
    length: u64,
    take: impl FnOnce(&mut dyn Read) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let Some(storage) = find(archive, name, length)? else { return Ok(None) };
    if storage.length > longest {
        let name = printable(name);
        return Err(Fault::corrupt(format!("its entry {name} claims {} bytes", storage.length)));
    }
    let Some(index) = archive.index_for_name(name) else { return Ok(None) };
    let io = |error| Fault::io(error, "a zip entry");
    let entry = archive.by_index_raw(index).map_err(std::io::Error::from).map_err(io)?;
    let mut entry = Summed { reader: entry, crc32: crc32fast::Hasher::new() };
    let taken = take(&mut entry);
    std::io::copy(&mut entry, &mut std::io::sink()).map_err(io)?;
    if storage.crc32 != Some(entry.crc32.finalize()) {
        let name = printable(name);
        return Err(Fault::corrupt(format!("the checksum of its entry {name} differs")));
    }
    taken.map(Some)
}

/// A reader, and the CRC-32 of what was read through it.
struct Summed<R> {
    reader: R,
    crc32: crc32fast::Hasher,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.crc32.update(&buffer[..read]);
        Ok(read)
    }
}

fn one_line(error: &ZipError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}
