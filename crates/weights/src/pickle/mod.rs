//! A small, strict pickle machine: enough for state dictionaries, and nothing that
//! could run code.
//!
//! Values live in an arena and refer to each other by position, so that a pickle
//! that contains itself neither leaks nor recurses, and dropping deep nests is flat.
//! A name outside the allow-list ([`globals`]) stops the machine.

mod budget;
mod globals;
mod machine;
mod rebuild;
mod source;

pub(crate) use machine::load;
pub(crate) use source::Source;

use crate::dtype::Dtype;
use globals::Global;

/// Position of a value in the [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ref(u32);

/// A pickled value.
#[derive(Debug)]
pub(crate) enum Node {
    None,
    Bool(bool),
    /// Python's whole numbers, as far as 128 bits go.
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Global(Global),
    Storage(Box<StorageClaim>),
    Tensor(Box<TensorClaim>),
}

/// What a pickle says about a storage; nothing of it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StorageClaim {
    /// Type of its elements; `None` for untyped bytes.
    pub(crate) dtype: Option<Dtype>,
    pub(crate) key: String,
    /// Number of elements (bytes where untyped).
    pub(crate) elements: u64,
    /// The part of the storage that is meant: first element and their number. Only
    /// the old format has it.
    pub(crate) view: Option<(u64, u64)>,
}

/// What a pickle says about a tensor; nothing of it is checked yet.
#[derive(Clone, Debug)]
pub(crate) struct TensorClaim {
    pub(crate) dtype: Dtype,
    pub(crate) storage: StorageClaim,
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    pub(crate) stride: Vec<u64>,
}

/// All values of one pickle.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    nodes: Vec<Node>,
}

impl Arena {
    /// Keeps a value that the budget has been charged for: there are far fewer than 2^32.
    fn push(&mut self, node: Node) -> Ref {
        let position = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(node);
        Ref(position)
    }

    pub(crate) fn get(&self, at: Ref) -> &Node {
        self.nodes.get(at.0 as usize).unwrap_or(&Node::None)
    }

    fn get_mut(&mut self, at: Ref) -> Option<&mut Node> {
        self.nodes.get_mut(at.0 as usize)
    }

    /// Text, also where an old pickle holds it as bytes.
    pub(crate) fn text(&self, at: Ref) -> Option<&str> {
        match self.get(at) {
            Node::Text(text) => Some(text),
            Node::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&self, at: Ref) -> Option<u64> {
        match self.get(at) {
            Node::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }
}
