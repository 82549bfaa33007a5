//! PyTorch's `.pth` formats: from a pickle's claims to checked contents.

mod bounded;
pub(crate) mod legacy;
pub(crate) mod zip;

use std::collections::BTreeMap;

use crate::contents::{Scalar, Storage, TensorInfo};
use crate::error::{Fault, printable};
use crate::names::Names;
use crate::pickle::{Arena, Node, Ref, StorageClaim, TensorClaim};

/// Deepest nesting of dictionaries and lists that is followed.
const DEEPEST: usize = 32;
/// Bytes that the flattened names and values may take: a pickle can refer to one value from
/// many places, so what it unfolds to has a bound of its own.
const MOST_UNFOLDED: usize = 96 << 20;
/// A value that is visited.
const PER_VALUE: usize = 32;
/// A value that is kept: an entry of a map, and its name there and in [`Names`].
const PER_ENTRY: usize = 256;
/// A tensor that is kept, beside its claim: libtorch's own description of it.
const PER_TENSOR: usize = 512;

/// Everything a pickle holds, under flattened names.
pub(crate) struct Flat {
    pub(crate) tensors: BTreeMap<String, TensorClaim>,
    pub(crate) other: BTreeMap<String, Scalar>,
}

/// Flattens nested dictionaries, lists and tuples: keys and positions joined with
/// `.`. A value that stands alone is named `value`.
pub(crate) fn flatten(arena: &Arena, root: Ref) -> Result<Flat, Fault> {
    let mut walk = Walk {
        arena,
        names: Names::default(),
        left: MOST_UNFOLDED,
        flat: Flat { tensors: BTreeMap::new(), other: BTreeMap::new() },
    };
    walk.visit(root, "", 0)?;
    Ok(walk.flat)
}

struct Walk<'a> {
    arena: &'a Arena,
    names: Names,
    left: usize,
    flat: Flat,
}

impl Walk<'_> {
    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| Fault::corrupt("its pickle unfolds without end"))?;
        Ok(())
    }

    fn visit(&mut self, at: Ref, path: &str, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Err(Fault::corrupt(format!("nested more than {DEEPEST} deep")));
        }
        self.spend(PER_VALUE + path.len())?;
        let arena = self.arena;
        let scalar = match arena.get(at) {
            Node::Dict(items) => {
                for (key, value) in items {
                    let child = join(path, &self.key(*key)?);
                    self.visit(*value, &child, depth + 1)?;
                }
                return Ok(());
            }
            Node::List(items) | Node::Tuple(items) => {
                for (position, item) in items.iter().enumerate() {
                    self.visit(*item, &join(path, &position.to_string()), depth + 1)?;
                }
                return Ok(());
            }
            Node::Tensor(tensor) => {
                self.spend(PER_TENSOR + tensor.bytes())?;
                let name = self.claim(path)?;
                self.flat.tensors.insert(name, TensorClaim::clone(tensor));
                return Ok(());
            }
            // A storage or class by itself is no weight and no setting: left out.
            Node::Storage(_) | Node::Global(_) => return Ok(()),
            Node::None => Scalar::None,
            Node::Bool(value) => Scalar::Bool(*value),
            Node::Int(value) => match i64::try_from(*value) {
                Ok(value) => Scalar::Int(value),
                Err(_) => Scalar::Text(value.to_string()),
            },
            Node::Float(value) => Scalar::Float(*value),
            Node::Text(text) => {
                self.spend(text.len())?;
                Scalar::Text(text.clone())
            }
            Node::Bytes(bytes) => {
                self.spend(bytes.len())?;
                Scalar::Text(String::from_utf8_lossy(bytes).into_owned())
            }
        };
        let name = self.claim(path)?;
        self.flat.other.insert(name, scalar);
        Ok(())
    }

    fn claim(&mut self, path: &str) -> Result<String, Fault> {
        self.spend(PER_ENTRY + 2 * path.len())?;
        self.names.claim(if path.is_empty() { "value" } else { path })
    }

    fn key(&mut self, at: Ref) -> Result<String, Fault> {
        let key = match self.arena.get(at) {
            Node::Int(number) => number.to_string(),
            Node::Bool(value) => value.to_string(),
            Node::None => "None".to_string(),
            _ => match self.arena.text(at) {
                Some(text) => {
                    self.spend(text.len())?;
                    text.to_string()
                }
                None => return Err(Fault::corrupt("a dict's key is neither text nor a number")),
            },
        };
        Ok(key)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

/// Places the claimed tensors in storages. `locate` finds a storage's bytes by its
/// claim (whose view, if any, is handled here); it is asked once for each key.
pub(crate) fn place(
    claims: BTreeMap<String, TensorClaim>,
    mut locate: impl FnMut(&StorageClaim) -> Result<Storage, Fault>,
) -> Result<(BTreeMap<String, TensorInfo>, Vec<Storage>), Fault> {
    let mut storages = Vec::new();
    let mut positions = BTreeMap::new();
    let mut tensors = BTreeMap::new();
    for (name, claim) in claims {
        let TensorClaim { dtype, storage: wanted, mut offset, shape, stride } = claim;
        let wrong = |reason: String| {
            Fault::corrupt(format!("the storage of the tensor {} {reason}", printable(&name)))
        };
        let position = match positions.get(&wanted.key) {
            Some(position) => *position,
            None => {
                storages.push(locate(&wanted)?);
                positions.insert(wanted.key.clone(), storages.len() - 1);
                storages.len() - 1
            }
        };
        let bytes = storages.get(position).map_or(0, |storage: &Storage| storage.length);
        let size = wanted.dtype.map_or(1, |dtype| dtype.size());
        if wanted.elements.checked_mul(size) != Some(bytes) {
            return Err(wrong(format!(
                "should have {} elements of {size} bytes and has {bytes} bytes",
                wanted.elements
            )));
        }
        if let Some((start, length)) = wanted.view {
            if start.checked_add(length).is_none_or(|end| end > wanted.elements) {
                return Err(wrong("is a view that reaches beyond it".to_string()));
            }
            offset = offset
                .checked_add(start)
                .ok_or_else(|| wrong("is a view with an absurd offset".to_string()))?;
        }
        let info = TensorInfo { dtype, shape, stride, offset, storage: position };
        tensors.insert(name, info);
    }
    Ok((tensors, storages))
}
