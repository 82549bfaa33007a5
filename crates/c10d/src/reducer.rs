//! Averaging gradients over ranks while they are being computed.

use std::sync::Arc;

use tch::Tensor;

use crate::ffi::{self, ShimReducer};
use crate::world::Group;
use crate::{Error, Result, World};

/// How a [`Reducer`] packs gradients into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReducerOptions {
    /// Bytes of the first bucket, small so that communication starts early. 1 MiB.
    pub first_bucket_bytes: usize,
    /// Bytes of the other buckets. 25 MiB.
    pub bucket_bytes: usize,
    /// Whether some parameters may take no part in a step's loss. If true (the default), each
    /// step walks the graph and agrees with the other ranks on which ones. If false, the step
    /// after one that left a parameter out is an error.
    pub find_unused: bool,
    /// Whether `.grad` is a view into the bucket: saves a copy of all gradients.
    pub gradient_as_bucket_view: bool,
}

impl Default for ReducerOptions {
    fn default() -> Self {
        ReducerOptions {
            first_bucket_bytes: 1024 * 1024,
            bucket_bytes: 25 * 1024 * 1024,
            find_unused: true,
            gradient_as_bucket_view: true,
        }
    }
}

/// libtorch's DistributedDataParallel reducer over a list of parameters.
///
/// Each step: compute the loss, [`Reducer::prepare_for_backward`], [`backward`]; then the
/// parameters' gradients are the mean over all ranks, bit for bit the same on each. Gradients
/// travel in buckets while the backward pass goes on.
///
/// The buckets are those of the start for the whole run (DDP in Python rebuilds them after
/// the first step), so a resumed run adds up in the same order as the one it continues.
///
/// Parameters may be frozen (`requires_grad` off) when the reducer is made and between steps.
/// Alone, a reducer does nothing.
#[derive(Debug)]
pub struct Reducer(Option<Shared>);

#[derive(Debug)]
struct Shared {
    pointer: *mut ShimReducer,
    // Dropped after the reducer that talks through it.
    _group: Arc<Group>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::c10d_reducer_free(self.pointer) }
    }
}

impl Reducer {
    /// A reducer for `params`: leaf tensors in the same order on all ranks. All ranks must
    /// call it together.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an empty list; [`Error::Libtorch`] names the first
    /// parameter whose shape differs from rank 0's, on the ranks where it does;
    /// [`Error::Timeout`], [`Error::PeerLost`].
    pub fn new(world: &World, params: &[Tensor], options: &ReducerOptions) -> Result<Reducer> {
        if params.is_empty() {
            return Err(Error::InvalidArgument("a reducer needs at least one parameter".into()));
        }
        let Some(group) = world.group() else { return Ok(Reducer(None)) };
        let pointers = ffi::pointers(params);
        let bytes = |size: usize| i64::try_from(size.max(1)).unwrap_or(i64::MAX);
        let pointer = ffi::receive("making the gradient reducer", |out| {
            // SAFETY: a live group; pointers of tensors borrowed for the call (the reducer
            // keeps references of its own).
            unsafe {
                ffi::c10d_reducer_new(
                    group.pointer(),
                    pointers.as_ptr(),
                    pointers.len() as i64,
                    bytes(options.first_bucket_bytes),
                    bytes(options.bucket_bytes),
                    options.find_unused,
                    options.gradient_as_bucket_view,
                    out,
                )
            }
        })?;
        Ok(Reducer(Some(Shared { pointer, _group: Arc::clone(group) })))
    }

    /// Tells the reducer that the next backward pass starts at `loss` and is to be averaged.
    ///
    /// # Errors
    /// [`Error::Libtorch`] when the pass before left parameters without a gradient and
    /// [`ReducerOptions::find_unused`] is off, or ended in an error.
    pub fn prepare_for_backward(&self, loss: &Tensor) -> Result<()> {
        let Some(shared) = &self.0 else { return Ok(()) };
        // SAFETY: a live reducer and tensor.
        let code = unsafe { ffi::c10d_reducer_prepare(shared.pointer, loss.as_ptr()) };
        ffi::check(code, "preparing the gradient reducer")
    }
}

/// Back-propagates from a 0-dimensional `loss` and frees its graph. Unlike
/// [`Tensor::backward`], failures (a rank lost while gradients travel, say) are errors, not
/// panics.
///
/// # Errors
/// [`Error::Timeout`], [`Error::PeerLost`]; those of a checkpointed segment;
/// [`Error::Libtorch`] otherwise.
pub fn backward(loss: &Tensor) -> Result<()> {
    // SAFETY: a live tensor.
    ffi::check(unsafe { ffi::c10d_backward(loss.as_ptr()) }, "the backward pass")
        .map_err(crate::torch::segment_failure)
}
