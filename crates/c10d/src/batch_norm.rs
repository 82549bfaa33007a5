//! Batch normalisation whose batch is that of all ranks together.

use std::ptr;

use tch::Tensor;

use crate::{Result, World, ffi};

/// Normalises `x` by the mean and biased variance per channel over the batches of all ranks,
/// scales by `weight` and shifts by `bias` (Ioffe & Szegedy 2015), and moves the running
/// statistics towards them: `running = (1 − momentum)·running + momentum·batch`, with the
/// unbiased variance, as PyTorch does.
///
/// Gradients of `x` account for all ranks' batches; those of `weight` and `bias` are this
/// rank's own, for a [`Reducer`](crate::Reducer) to average. Statistics are merged in
/// float64. Batches may differ in size between ranks. It can be differentiated once only.
/// Alone, it is `torch.batch_norm` in training mode.
///
/// # Shapes
/// `x`: `[batch, channels, …]`, floating point; the result is like `x`; all others
/// `[channels]`.
///
/// # Errors
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for other shapes or when there
/// is one value per channel in all; [`Error::Timeout`](crate::Error::Timeout),
/// [`Error::PeerLost`](crate::Error::PeerLost).
#[allow(clippy::too_many_arguments)] // Those of torch.batch_norm.
pub fn sync_batch_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    running_mean: &Tensor,
    running_var: &Tensor,
    momentum: f64,
    eps: f64,
    world: &World,
) -> Result<Tensor> {
    let group = world.group().map_or(ptr::null_mut(), |group| group.pointer());
    ffi::receive_tensor("sync_batch_norm", |out| {
        // SAFETY: live tensors; `group` is null or a live group, which the graph keeps a
        // reference of its own to.
        unsafe {
            ffi::c10d_sync_batch_norm(
                x.as_ptr(),
                weight.as_ptr(),
                bias.as_ptr(),
                running_mean.as_ptr(),
                running_var.as_ptr(),
                momentum,
                eps,
                group,
                out,
            )
        }
    })
}
