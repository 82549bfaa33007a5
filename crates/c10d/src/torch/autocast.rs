//! Mixed precision: which arithmetic runs in bfloat16.

use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use crate::ffi;

/// While it lives, convolutions and matrix products of this thread on the device's kind
/// compute in bfloat16 (`on`) or in the dtype of their inputs. What needs more (sums,
/// exponentials, losses) stays in float32, as PyTorch's lists say; parameters and their
/// gradients keep their dtype. Casts are not cached.
///
/// A backward pass computes in what its forward pass chose: run it with autocast off. A
/// [`checkpoint`](super::checkpoint) computes again as it did at first.
#[must_use = "autocast ends when this is dropped"]
#[derive(Debug)]
pub struct Autocast {
    cuda: bool,
    before: bool,
    // The switch is this thread's.
    _thread: PhantomData<*const ()>,
}

impl Autocast {
    /// Switches it on or off until dropped; then it is as it was before.
    pub fn new(device: Device, on: bool) -> Autocast {
        let (cuda, mut before) = (device.is_cuda(), false);
        // SAFETY: `before` outlives the call.
        let code = unsafe { ffi::c10d_autocast(cuda, on, &mut before) };
        // CPU and CUDA are all there is to ask for, and every libtorch knows both.
        ffi::check(code, "switching autocast").unwrap_or_else(|error| panic!("{error}"));
        Autocast { cuda, before, _thread: PhantomData }
    }

    /// Whether it is on for this thread and kind of device.
    pub fn is_on(device: Device) -> bool {
        let mut on = false;
        // SAFETY: `on` outlives the call.
        let code = unsafe { ffi::c10d_is_autocast(device.is_cuda(), &mut on) };
        ffi::check(code, "asking for autocast").is_ok() && on
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        let mut ignored = false;
        // SAFETY: as in `new`. It succeeded there with the same device.
        let _ = unsafe { ffi::c10d_autocast(self.cuda, self.before, &mut ignored) };
    }
}

/// A half-precision tensor as float32, any other as it is: for what is to be computed in full
/// on results of autocast.
pub fn widened(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::BFloat16 | Kind::Half => x.to_kind(Kind::Float),
        _ => x.shallow_clone(),
    }
}
