//! Named tensors on disk: safetensors and published `.pth` files, loaded strictly.
//!
//! [`read`] tells the format from the content: safetensors, PyTorch's zip archive, or
//! its older format of pickles and raw storages. Nested dictionaries and lists are
//! flattened with `.`, `module.` prefixes removed. Pickles run on a small machine of
//! this crate's own ([`Contents::parse`]), which knows the handful of names that a
//! state dictionary needs, executes nothing, and bounds every size before it
//! allocates; elements are then read range by range straight into their tensors, so
//! that loading needs little more memory than the tensors themselves.
//!
//! [`load_strict`] copies weights into a model only if every name, shape and type
//! fits. [`write_safetensors`] and [`write_pth`] write beside the destination, sync
//! and rename: after a crash there is the old file or the new one, whole.
//!
//! Without the default feature `tensors` the crate is the parser alone, in pure Rust.

mod contents;
mod detect;
mod dtype;
mod error;
mod names;
mod pickle;
mod pth;
mod safetensors_header;

#[cfg(feature = "tensors")]
mod read;
#[cfg(feature = "tensors")]
mod strict;
#[cfg(feature = "tensors")]
mod write;

pub use contents::{Contents, Format, Scalar, Storage, TensorInfo};
pub use dtype::Dtype;
pub use error::{Error, Fault};

#[cfg(feature = "tensors")]
pub use read::{Archive, Entry, LONGEST, read, read_open};
#[cfg(feature = "tensors")]
pub use strict::{load_strict, select};
#[cfg(feature = "tensors")]
pub use write::{write_pth, write_safetensors, write_safetensors_open, write_safetensors_private};

/// Tensors by name, as a model's `state_dict()`.
#[cfg(feature = "tensors")]
pub type Tensors = std::collections::BTreeMap<String, tch::Tensor>;
