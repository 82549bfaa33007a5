//! The older format: a magic number, a protocol number, facts of the writing
//! machine, the object, the keys of its storages (each a pickle), then each storage
//! as its number of elements and its raw bytes, always little-endian.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::{flatten, place};
use crate::contents::{Contents, Format, Storage};
use crate::error::{Fault, printable};
use crate::pickle::{Arena, Node, Ref, Source, load};

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// Describes an old `.pth` file of `length` bytes.
pub(crate) fn parse<R: Read + Seek>(reader: R, length: u64) -> Result<Contents, Fault> {
    let mut reader = BufReader::new(reader);
    let mut source = Source::new(&mut reader);
    let (arena, magic) = load(&mut source)?;
    if !matches!(arena.get(magic), Node::Int(MAGIC)) {
        return Err(Fault::Unknown("a pickle, but not one that torch.save wrote".into()));
    }
    let (arena, protocol) = load(&mut source)?;
    if !matches!(arena.get(protocol), Node::Int(PROTOCOL)) {
        return Err(Fault::Unsupported(
            "this .pth file has an unknown protocol number; save it again with torch".into(),
        ));
    }
    // Sizes of the writer's C types: only good to diagnose, PyTorch ignores them too.
    load(&mut source)?;
    let (arena, root) = load(&mut source)?;
    let flat = flatten(&arena, root)?;
    // How long a storage is, only the object knows: its element type is not repeated
    // where it lies.
    let mut sizes = HashMap::new();
    for claim in flat.tensors.values() {
        sizes.insert(claim.storage.key.clone(), claim.storage.dtype.map_or(1, |d| d.size()));
    }
    let (keys_arena, keys) = load(&mut source)?;
    let keys = storage_keys(&keys_arena, keys, sizes.len())?;
    let mut at = source.taken();

    let mut found: HashMap<String, Storage> = HashMap::new();
    for key in &keys {
        let mut prefix = [0; 8];
        reader
            .seek(SeekFrom::Start(at))
            .and_then(|_| reader.read_exact(&mut prefix))
            .map_err(|e| Fault::io(e, "its storages"))?;
        let elements = u64::from_le_bytes(prefix);
        let Some(size) = sizes.get(key) else {
            return Err(Fault::Unsupported(format!(
                "no tensor uses its storage {}, so its length is unknown; save it again with torch",
                printable(key)
            )));
        };
        let start = at + 8;
        let end = elements.checked_mul(*size).and_then(|bytes| start.checked_add(bytes));
        at = end.filter(|end| *end <= length).ok_or_else(|| {
            Fault::CutShort(format!(
                "the storage {} should have {elements} elements of {size} bytes",
                printable(key)
            ))
        })?;
        let storage = Storage { start, length: at - start, crc32: None };
        if found.insert(key.clone(), storage).is_some() {
            return Err(Fault::corrupt("two of its storages have the same key"));
        }
    }
    let (tensors, storages) = place(flat.tensors, |claim| {
        found.get(&claim.key).copied().ok_or_else(|| {
            Fault::corrupt(format!("it lacks the storage {}", printable(&claim.key)))
        })
    })?;
    Ok(Contents {
        format: Format::PthLegacy,
        tensors,
        storages,
        big_endian: false,
        metadata: Default::default(),
        other: flat.other,
    })
}

/// The keys, in the order of the storages. Each belongs to one of the `used` storages.
fn storage_keys(arena: &Arena, keys: Ref, used: usize) -> Result<Vec<String>, Fault> {
    let bad = || Fault::corrupt("the list of its storages' keys does not fit its tensors");
    let Node::List(keys) = arena.get(keys) else { return Err(bad()) };
    if keys.len() > used + 1 {
        return Err(bad());
    }
    let text = |key: &Ref| match arena.get(*key) {
        Node::Int(number) => Some(number.to_string()),
        _ => arena.text(*key).map(str::to_string),
    };
    keys.iter().map(|key| text(key).filter(|key| key.len() <= 256).ok_or_else(bad)).collect()
}
