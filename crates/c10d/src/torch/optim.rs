//! Gradients of a list of parameters: norm, clipping, Adam, SGD, release.

use tch::Tensor;

use crate::ffi::{self, pointers};
use crate::{Error, Result};

/// Adam's constants (Kingma & Ba 2015), with PyTorch's defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Step size.
    pub lr: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// L2 penalty, added to the gradient (not AdamW's).
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// One step of Adam in place, as `torch.optim.Adam(fused=True)` takes it. Parameters without
/// a gradient are passed over, and their steps not counted.
///
/// Where `skip` (0-dimensional, float32, on the parameters' device) is 1, nothing changes; it is
/// not read on the host.
///
/// # Shapes
/// One entry per parameter in each list. `exp_avg` and `exp_avg_sq` like their parameter, in
/// shape, dtype, device and memory layout; `steps` float32 of one element, on the parameter's
/// device, 0 at the start.
///
/// # Errors
/// [`Error::InvalidArgument`] when the lists differ in length or an entry is unlike its
/// parameter: no parameter has been changed.
pub fn fused_adam_(
    params: &[Tensor],
    exp_avg: &[Tensor],
    exp_avg_sq: &[Tensor],
    steps: &[Tensor],
    adam: &Adam,
    skip: Option<&Tensor>,
) -> Result<()> {
    let count = params.len();
    if [exp_avg, exp_avg_sq, steps].iter().any(|list| list.len() != count) {
        return Err(Error::InvalidArgument(format!(
            "fused_adam_: {count} parameters but {} means, {} squares and {} steps",
            exp_avg.len(),
            exp_avg_sq.len(),
            steps.len()
        )));
    }
    let (p, m, v, t) = (pointers(params), pointers(exp_avg), pointers(exp_avg_sq), pointers(steps));
    let skip = skip.map_or(std::ptr::null(), Tensor::as_ptr);
    // SAFETY: four lists of `count` live tensors; a null pointer or a live tensor.
    let code = unsafe {
        ffi::c10d_fused_adam(
            p.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            t.as_ptr(),
            count as i64,
            skip,
            adam.lr,
            adam.beta1,
            adam.beta2,
            adam.eps,
            adam.weight_decay,
        )
    };
    ffi::check(code, "fused_adam_")
}

/// The constants of stochastic gradient descent with momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Step size.
    pub lr: f64,
    /// Decay of the running sum of gradients; 0: none is kept.
    pub momentum: f64,
    /// Look ahead along the running sum (Nesterov 1983, as PyTorch writes it).
    pub nesterov: bool,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
}

/// One step of gradient descent in place, as `torch.optim.SGD(fused=True)` takes it with
/// dampening 0: `g ← g + weight_decay·p`, `b ← momentum·b + g`,
/// `p ← p − lr·(b, or g + momentum·b with nesterov)`. Parameters without a gradient are passed
/// over. `skip` as for [`fused_adam_`].
///
/// # Shapes
/// `momenta`: one entry per parameter, like it in shape, dtype, device and memory layout, 0 at
/// the start.
///
/// # Errors
/// [`Error::InvalidArgument`] when the lists differ in length or an entry is unlike its
/// parameter: no parameter has been changed.
pub fn fused_sgd_(
    params: &[Tensor],
    momenta: &[Tensor],
    sgd: &Sgd,
    skip: Option<&Tensor>,
) -> Result<()> {
    let count = params.len();
    if momenta.len() != count {
        return Err(Error::InvalidArgument(format!(
            "fused_sgd_: {count} parameters but {} momenta",
            momenta.len()
        )));
    }
    let (p, b) = (pointers(params), pointers(momenta));
    let skip = skip.map_or(std::ptr::null(), Tensor::as_ptr);
    // SAFETY: two lists of `count` live tensors; a null pointer or a live tensor.
    let code = unsafe {
        ffi::c10d_fused_sgd(
            p.as_ptr(),
            b.as_ptr(),
            count as i64,
            skip,
            sgd.lr,
            sgd.momentum,
            sgd.nesterov,
            sgd.weight_decay,
        )
    };
    ffi::check(code, "fused_sgd_")
}

/// The L2 norm of all gradients of `params` together, a 0-dimensional tensor on their device.
/// Nothing is read back to the host. Without gradients it is 0.
///
/// # Errors
/// [`Error::Libtorch`] when gradients are on different devices.
pub fn grad_norm(params: &[Tensor]) -> Result<Tensor> {
    let list = pointers(params);
    ffi::receive_tensor("grad_norm", |out| {
        // SAFETY: a list of live tensors.
        unsafe { ffi::c10d_grad_norm(list.as_ptr(), list.len() as i64, out) }
    })
}

/// Multiplies all gradients by `min(1, max_norm / (norm + 1e-6))`, the formula of
/// `torch.nn.utils.clip_grad_norm_`. `norm` is that of [`grad_norm`]; nothing is read back to
/// the host. A norm that is not finite makes the gradients so.
///
/// # Errors
/// [`Error::Libtorch`] when `norm` cannot be broadcast to the gradients.
pub fn clip_grads(params: &[Tensor], norm: &Tensor, max_norm: f64) -> Result<()> {
    let list = pointers(params);
    // SAFETY: live tensors.
    let code =
        unsafe { ffi::c10d_clip_grads(list.as_ptr(), list.len() as i64, norm.as_ptr(), max_norm) };
    ffi::check(code, "clip_grads")
}

/// Copies each of `saved` into its tensor where `flag` (0-dimensional) is not 0, in place.
/// Nothing is read back from a CUDA device to decide it.
///
/// # Errors
/// [`Error::InvalidArgument`] when the lists differ in length; [`Error::Libtorch`] when shapes
/// do.
pub fn restore_if(flag: &Tensor, tensors: &[Tensor], saved: &[Tensor]) -> Result<()> {
    if tensors.len() != saved.len() {
        let (a, b) = (tensors.len(), saved.len());
        return Err(Error::InvalidArgument(format!("restore_if: {a} tensors but {b} saved")));
    }
    let (list, saved) = (pointers(tensors), pointers(saved));
    // SAFETY: live tensors, two lists of one length.
    let code = unsafe {
        ffi::c10d_restore_if(flag.as_ptr(), list.as_ptr(), saved.as_ptr(), list.len() as i64)
    };
    ffi::check(code, "restore_if")
}

/// Sets all gradients to zero, or lets go of them (`set_to_none`), which saves the memory and
/// one addition per step.
///
/// # Errors
/// [`Error::Libtorch`] when a parameter is not a leaf.
pub fn zero_grads(params: &[Tensor], set_to_none: bool) -> Result<()> {
    let list = pointers(params);
    // SAFETY: live tensors.
    let code = unsafe { ffi::c10d_zero_grads(list.as_ptr(), list.len() as i64, set_to_none) };
    ffi::check(code, "zero_grads")
}
