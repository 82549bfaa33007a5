//! How much memory the values of a pickle may take.
//!
//! One byte of a pickle can make a value of dozens of bytes, and a recalled value can be copied
//! with every few bytes. So what is built is counted, in bytes as they are allocated, and a
//! pickle that goes beyond the budget is refused before the memory is there.

use std::mem::size_of;

use super::{Node, Ref, StorageClaim, TensorClaim};
use crate::error::Fault;

/// Bytes that all values of a pickle may take. A state dictionary needs about 1.5 KB a tensor.
const BUDGET: usize = 96 << 20;
/// What the allocator and growth by doubling add to an allocation, about.
pub(super) const ALLOCATION: usize = 32;
/// A reference in a list, with room to grow.
pub(super) const ITEM: usize = 2 * size_of::<Ref>();
/// A slot of the memo: a hash map's, which is at least half empty after it has grown.
pub(super) const SLOT: usize = 4 * size_of::<(u64, Ref)>();

/// What is left to be allocated.
pub(super) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: BUDGET }
    }
}

impl Budget {
    /// # Errors
    /// The pickle takes more than it may.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| {
            let most = BUDGET >> 20;
            Fault::corrupt(format!("the values of its pickle take more than {most} MiB"))
        })?;
        Ok(())
    }
}

impl Node {
    /// Bytes that the value takes in the arena and on the heap.
    pub(super) fn bytes(&self) -> usize {
        let heap = match self {
            Node::None | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Global(_) => 0,
            Node::Text(text) => text.len() + ALLOCATION,
            Node::Bytes(bytes) => bytes.len() + ALLOCATION,
            Node::Tuple(items) | Node::List(items) if items.is_empty() => 0,
            Node::Tuple(items) | Node::List(items) => items.len() * ITEM + ALLOCATION,
            Node::Dict(items) if items.is_empty() => 0,
            Node::Dict(items) => items.len() * 2 * ITEM + ALLOCATION,
            Node::Storage(claim) => claim.bytes(),
            Node::Tensor(claim) => claim.bytes(),
        };
        size_of::<Node>() + heap
    }
}

impl StorageClaim {
    /// Bytes that it takes on the heap, in a box.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + 2 * ALLOCATION
    }
}

impl TensorClaim {
    /// Bytes that it takes on the heap, in a box.
    pub(crate) fn bytes(&self) -> usize {
        let numbers = (self.shape.len() + self.stride.len()) * size_of::<u64>();
        size_of::<Self>() + self.storage.key.len() + numbers + 4 * ALLOCATION
    }
}
