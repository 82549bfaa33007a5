//! The C functions of the shim (`csrc/`), and how their failures become [`Error`]s.
//!
//! Every function catches all C++ exceptions (`csrc/guard.h`); a non-zero status means that
//! `c10d_last_error` holds this thread's message. Functions that C++ calls catch all panics. Tensor arguments are borrowed for the call;
//! tensors returned through out-pointers are owned by the receiver.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use tch::{Device, Tensor};
use torch_sys::C_tensor;

use crate::connection::Calls;
use crate::{Error, Result};

/// Opaque C++ objects.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub(crate) struct $name {
            _private: [u8; 0],
        }
    )*};
}
opaque!(ShimStore, ShimGroup, ShimWork, ShimReducer, ShimRange, ShimReading);

/// Mirrors `shim::Status` in `csrc/shim.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Libtorch,
    Timeout,
    PeerLost,
    AddressInUse,
    Rendezvous,
    Unsupported,
    Invalid,
}

impl Status {
    fn from_code(code: i32) -> Status {
        match code {
            2 => Status::Timeout,
            3 => Status::PeerLost,
            4 => Status::AddressInUse,
            5 => Status::Rendezvous,
            6 => Status::Unsupported,
            7 => Status::Invalid,
            _ => Status::Libtorch,
        }
    }

    /// The status that would become this error.
    pub(crate) fn of(error: &Error) -> Status {
        match error {
            Error::Timeout(_) => Status::Timeout,
            Error::PeerLost(_) => Status::PeerLost,
            Error::AddressInUse(_) => Status::AddressInUse,
            Error::Rendezvous(_) | Error::BadEnvironment(_) => Status::Rendezvous,
            Error::Unsupported(_) => Status::Unsupported,
            Error::InvalidArgument(_) => Status::Invalid,
            Error::Libtorch(_) => Status::Libtorch,
        }
    }

    pub(crate) fn code(self) -> i32 {
        match self {
            Status::Libtorch => 1,
            Status::Timeout => 2,
            Status::PeerLost => 3,
            Status::AddressInUse => 4,
            Status::Rendezvous => 5,
            Status::Unsupported => 6,
            Status::Invalid => 7,
        }
    }
}

pub(crate) type Tensors = *const *const C_tensor;

unsafe extern "C" {
    fn c10d_last_error() -> *const c_char;

    pub(crate) fn c10d_store_new(
        host: *const c_char,
        port: u16,
        listener: i32,
        timeout_ms: i64,
        out: *mut *mut ShimStore,
    ) -> i32;
    pub(crate) fn c10d_store_authenticated(
        connection: *mut c_void,
        calls: *const Calls,
        out: *mut *mut ShimStore,
    ) -> i32;
    pub(crate) fn c10d_store_below(
        store: *const ShimStore,
        prefix: *const c_char,
        out: *mut *mut ShimStore,
    ) -> i32;
    pub(crate) fn c10d_store_set(
        store: *const ShimStore,
        key: *const c_char,
        bytes: *const u8,
        length: i64,
    ) -> i32;
    pub(crate) fn c10d_store_set_once(
        store: *const ShimStore,
        key: *const c_char,
        bytes: *const u8,
        length: i64,
    ) -> i32;
    pub(crate) fn c10d_store_get(
        store: *const ShimStore,
        key: *const c_char,
        buffer: *mut u8,
        capacity: i64,
        length: *mut i64,
    ) -> i32;
    pub(crate) fn c10d_store_wait(
        store: *const ShimStore,
        key: *const c_char,
        timeout_ms: i64,
    ) -> i32;
    pub(crate) fn c10d_store_join(
        store: *const ShimStore,
        rank: i32,
        size: i32,
        timeout_ms: i64,
        joined: *mut u8,
    ) -> i32;
    pub(crate) fn c10d_store_free(store: *mut ShimStore);

    pub(crate) fn c10d_group_new(
        store: *mut ShimStore,
        rank: i32,
        size: i32,
        timeout_ms: i64,
        loopback: bool,
        nccl: bool,
        out: *mut *mut ShimGroup,
    ) -> i32;
    pub(crate) fn c10d_group_free(group: *mut ShimGroup);
    pub(crate) fn c10d_nccl_version() -> i64;

    pub(crate) fn c10d_all_reduce(
        group: *mut ShimGroup,
        tensor: *const C_tensor,
        op: u8,
        out: *mut *mut ShimWork,
    ) -> i32;
    pub(crate) fn c10d_broadcast(
        group: *mut ShimGroup,
        tensor: *const C_tensor,
        root: i32,
        out: *mut *mut ShimWork,
    ) -> i32;
    pub(crate) fn c10d_all_gather(
        group: *mut ShimGroup,
        tensor: *const C_tensor,
        outputs: *mut *mut C_tensor,
    ) -> i32;
    pub(crate) fn c10d_broadcast_all(
        group: *mut ShimGroup,
        tensors: Tensors,
        count: i64,
        root: i32,
    ) -> i32;
    pub(crate) fn c10d_work_wait(work: *mut ShimWork) -> i32;
    pub(crate) fn c10d_work_is_completed(work: *mut ShimWork, completed: *mut bool) -> i32;
    pub(crate) fn c10d_work_free(work: *mut ShimWork);

    pub(crate) fn c10d_reducer_new(
        group: *mut ShimGroup,
        params: Tensors,
        count: i64,
        first_bucket_bytes: i64,
        bucket_bytes: i64,
        find_unused: bool,
        gradient_as_bucket_view: bool,
        out: *mut *mut ShimReducer,
    ) -> i32;
    pub(crate) fn c10d_reducer_prepare(reducer: *mut ShimReducer, loss: *const C_tensor) -> i32;
    pub(crate) fn c10d_reducer_free(reducer: *mut ShimReducer);
    pub(crate) fn c10d_backward(loss: *const C_tensor) -> i32;

    pub(crate) fn c10d_sync_batch_norm(
        x: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        running_mean: *const C_tensor,
        running_var: *const C_tensor,
        momentum: f64,
        eps: f64,
        group: *mut ShimGroup,
        out: *mut *mut C_tensor,
    ) -> i32;

    pub(crate) fn c10d_grad_norm(params: Tensors, count: i64, out: *mut *mut C_tensor) -> i32;
    pub(crate) fn c10d_clip_grads(
        params: Tensors,
        count: i64,
        norm: *const C_tensor,
        max_norm: f64,
    ) -> i32;
    pub(crate) fn c10d_fused_adam(
        params: Tensors,
        exp_avgs: Tensors,
        exp_avg_sqs: Tensors,
        steps: Tensors,
        count: i64,
        skip: *const C_tensor,
        lr: f64,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
    ) -> i32;
    pub(crate) fn c10d_fused_sgd(
        params: Tensors,
        momenta: Tensors,
        count: i64,
        skip: *const C_tensor,
        lr: f64,
        momentum: f64,
        nesterov: bool,
        weight_decay: f64,
    ) -> i32;
    pub(crate) fn c10d_restore_if(
        flag: *const C_tensor,
        tensors: Tensors,
        saved: Tensors,
        count: i64,
    ) -> i32;
    pub(crate) fn c10d_read_later(tensor: *const C_tensor, out: *mut *mut ShimReading) -> i32;
    pub(crate) fn c10d_reading_wait(reading: *mut ShimReading, out: *mut *mut C_tensor) -> i32;
    pub(crate) fn c10d_reading_free(reading: *mut ShimReading);
    pub(crate) fn c10d_autocast(cuda: bool, on: bool, before: *mut bool) -> i32;
    pub(crate) fn c10d_is_autocast(cuda: bool, on: *mut bool) -> i32;
    pub(crate) fn c10d_zero_grads(params: Tensors, count: i64, set_to_none: bool) -> i32;

    pub(crate) fn c10d_randn_seeded(
        shape: *const i64,
        dims: i64,
        seed: u64,
        scalar_type: i32,
        device: i32,
        out: *mut *mut C_tensor,
    ) -> i32;
    pub(crate) fn c10d_rng_state(device: i32, out: *mut *mut C_tensor) -> i32;
    pub(crate) fn c10d_set_rng_state(device: i32, state: *const C_tensor) -> i32;
    pub(crate) fn c10d_set_deterministic(on: bool) -> i32;
    pub(crate) fn c10d_resize(
        x: *const C_tensor,
        height: i64,
        width: i64,
        products: bool,
        small: i64,
        out: *mut *mut C_tensor,
    ) -> i32;
    pub(crate) fn c10d_set_benchmark(on: bool) -> i32;
    pub(crate) fn c10d_set_tf32(on: bool) -> i32;
    pub(crate) fn c10d_set_flush_denormal(on: bool) -> bool;
    pub(crate) fn c10d_libtorch_version() -> *const c_char;
    pub(crate) fn c10d_cuda_version() -> i64;
    pub(crate) fn c10d_cuda_memory(device: i32, bytes: *mut i64) -> i32;
    pub(crate) fn c10d_reset_cuda_peak(device: i32) -> i32;
    pub(crate) fn c10d_empty_cuda_cache() -> i32;

    pub(crate) fn c10d_cache_cpu_memory() -> bool;

    pub(crate) fn c10d_checkpoint(
        inputs: Tensors,
        input_count: i64,
        params: Tensors,
        param_count: i64,
        closure: *mut c_void,
        run: unsafe extern "C" fn(*mut c_void, Tensors, i64, bool) -> *mut C_tensor,
        drop: unsafe extern "C" fn(*mut c_void),
        out: *mut *mut C_tensor,
    ) -> i32;

    pub(crate) fn c10d_profile_start() -> i32;
    pub(crate) fn c10d_profile_stop(path: *const c_char) -> i32;
    pub(crate) fn c10d_range_begin(name: *const c_char) -> *mut ShimRange;
    pub(crate) fn c10d_range_end(range: *mut ShimRange);
}

/// `Ok` for status 0, else the error with this thread's message. `doing` names the action.
pub(crate) fn check(code: i32, doing: &str) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: a NUL-terminated string that lives until this thread's next failing call.
    let detail = unsafe { CStr::from_ptr(c10d_last_error()) }.to_string_lossy();
    Err(Error::from_status(Status::from_code(code), doing, &detail))
}

/// Runs a call that hands one object out through a pointer, which it sets on success.
pub(crate) fn receive<T>(doing: &str, call: impl FnOnce(*mut *mut T) -> i32) -> Result<*mut T> {
    let mut out: *mut T = ptr::null_mut();
    check(call(&mut out), doing)?;
    if out.is_null() {
        return Err(Error::Libtorch(format!("{doing} returned nothing")));
    }
    Ok(out)
}

/// As [`receive`], for a tensor that now belongs to us.
pub(crate) fn receive_tensor(
    doing: &str,
    call: impl FnOnce(*mut *mut C_tensor) -> i32,
) -> Result<Tensor> {
    let out = receive(doing, call)?;
    // SAFETY: a torch::Tensor allocated with `new`, given away by the shim.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// The pointers of a list of tensors, for the length of a call.
pub(crate) fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

/// tch's numbering of devices.
pub(crate) fn device_code(device: Device) -> Result<i32> {
    match device {
        Device::Cpu => Ok(-1),
        Device::Cuda(index) => i32::try_from(index)
            .map_err(|_| Error::InvalidArgument(format!("there is no CUDA device {index}"))),
        other => Err(Error::Unsupported(format!("device {other:?} is not supported"))),
    }
}

#[cfg(test)]
mod tests;
