//! What calling an allowed name means: a description, never an execution.

use super::globals::Global;
use super::{Arena, Node, Ref, StorageClaim, TensorClaim};
use crate::dtype::Dtype;
use crate::error::Fault;

/// More dimensions than any tensor has (libtorch itself works with up to 64).
const MOST_DIMENSIONS: usize = 64;
/// Keys are short numbers; old files use addresses.
const LONGEST_KEY: usize = 256;

/// The outcome of a call: a new value, or one that exists already.
pub(super) enum Called {
    New(Node),
    Same(Ref),
}

/// `function(*arguments)`.
pub(super) fn call(arena: &Arena, function: Global, arguments: &[Ref]) -> Result<Called, Fault> {
    let bad = || Fault::corrupt(format!("{function:?} is called with arguments of another kind"));
    let kind = |at: Ref| arena.get(at);
    match (function, arguments) {
        (Global::OrderedDict, []) => Ok(Called::New(Node::Dict(Vec::new()))),
        (Global::OrderedDict, [items]) => ordered_dict(arena, *items).map(Called::New),
        (Global::Size, []) => Ok(Called::New(Node::Tuple(Vec::new()))),
        (Global::Size, [sizes]) => match kind(*sizes) {
            Node::Tuple(_) | Node::List(_) => Ok(Called::Same(*sizes)),
            _ => Err(bad()),
        },
        (Global::Device, [name, ..]) | (Global::Encode, [name, ..]) => match kind(*name) {
            Node::Text(_) | Node::Bytes(_) => Ok(Called::Same(*name)),
            _ => Err(bad()),
        },
        (Global::Encode, []) => Ok(Called::New(Node::Bytes(Vec::new()))),
        (Global::RebuildParameter, [tensor, ..]) => match kind(*tensor) {
            Node::Tensor(_) => Ok(Called::Same(*tensor)),
            _ => Err(bad()),
        },
        (Global::RebuildTensor, [storage, offset, shape, stride, ..]) => {
            let Node::Storage(storage) = kind(*storage) else { return Err(bad()) };
            let dtype = storage.dtype.unwrap_or(Dtype::Uint8);
            tensor(arena, dtype, storage, [*offset, *shape, *stride])
        }
        (Global::RebuildTensorV3, [storage, offset, shape, stride, _, _, dtype, ..]) => {
            let Node::Storage(storage) = kind(*storage) else { return Err(bad()) };
            let Node::Global(Global::Dtype(dtype)) = kind(*dtype) else { return Err(bad()) };
            tensor(arena, *dtype, storage, [*offset, *shape, *stride])
        }
        (Global::RebuildFromType, [function, class, arguments, ..]) => {
            // The tensor is rebuilt as a plain one; its attributes are not weights.
            match (kind(*function), kind(*class), kind(*arguments)) {
                (
                    Node::Global(
                        inner @ (Global::RebuildTensor
                        | Global::RebuildTensorV3
                        | Global::RebuildParameter),
                    ),
                    Node::Global(Global::TensorClass),
                    Node::Tuple(arguments),
                ) => call(arena, *inner, arguments),
                _ => Err(bad()),
            }
        }
        _ => Err(bad()),
    }
}

/// Python 2 pickled an OrderedDict as a call with a list of [key, value] lists.
fn ordered_dict(arena: &Arena, items: Ref) -> Result<Node, Fault> {
    let bad = || Fault::corrupt("an OrderedDict is built from something else than pairs");
    let Node::List(items) = arena.get(items) else { return Err(bad()) };
    let pair = |item: &Ref| match arena.get(*item) {
        Node::List(pair) | Node::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
        _ => Err(bad()),
    };
    Ok(Node::Dict(items.iter().map(pair).collect::<Result<_, _>>()?))
}

fn tensor(
    arena: &Arena,
    dtype: Dtype,
    storage: &StorageClaim,
    [offset, shape, stride]: [Ref; 3],
) -> Result<Called, Fault> {
    let numbers = |at: Ref| -> Option<Vec<u64>> {
        match arena.get(at) {
            Node::Tuple(items) | Node::List(items) if items.len() <= MOST_DIMENSIONS => {
                items.iter().map(|item| arena.count(*item)).collect()
            }
            _ => None,
        }
    };
    let bad = |what: &str| {
        Fault::corrupt(format!("a tensor's {what} is not made of small whole numbers"))
    };
    Ok(Called::New(Node::Tensor(Box::new(TensorClaim {
        dtype,
        storage: storage.clone(),
        offset: arena.count(offset).ok_or_else(|| bad("offset"))?,
        shape: numbers(shape).ok_or_else(|| bad("shape"))?,
        stride: numbers(stride).ok_or_else(|| bad("stride"))?,
    }))))
}

/// A persistent id: `('storage', class, key, location, elements[, view])`.
pub(super) fn persistent(arena: &Arena, id: Ref) -> Result<StorageClaim, Fault> {
    let bad = |what: &str| Fault::corrupt(format!("a storage is named {what}"));
    let Node::Tuple(parts) = arena.get(id) else { return Err(bad("by something else")) };
    let [kind, class, key, _location, elements, rest @ ..] = parts.as_slice() else {
        return Err(bad("with too few parts"));
    };
    if arena.text(*kind) != Some("storage") {
        return Err(bad("as another kind of object"));
    }
    let Node::Global(Global::Storage(dtype)) = arena.get(*class) else {
        return Err(bad("with a class that is none"));
    };
    let key = match arena.get(*key) {
        Node::Int(number) => number.to_string(),
        _ => arena.text(*key).ok_or_else(|| bad("with a key that is no text"))?.to_string(),
    };
    if key.is_empty() || key.len() > LONGEST_KEY {
        return Err(bad("with a key of an odd length"));
    }
    let elements = arena.count(*elements).ok_or_else(|| bad("with an odd size"))?;
    let view = match rest.first().map(|at| arena.get(*at)) {
        None | Some(Node::None) => None,
        Some(Node::Tuple(view)) => match view.as_slice() {
            [_key, offset, size] => {
                Some(arena.count(*offset).zip(arena.count(*size)).ok_or_else(|| bad("oddly"))?)
            }
            _ => return Err(bad("with an odd view")),
        },
        Some(_) => return Err(bad("with an odd view")),
    };
    Ok(StorageClaim { dtype: *dtype, key, elements, view })
}
