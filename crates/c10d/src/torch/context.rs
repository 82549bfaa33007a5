//! libtorch's global switches, versions and accelerator memory.

use std::ffi::CStr;

use tch::Device;

use crate::ffi::{self, device_code};
use crate::{Error, Result};

/// Whether operations must give the same bits each time. Where a CUDA operation has no such
/// form, libtorch warns on stderr and goes on. Turning it on also sets
/// `CUBLAS_WORKSPACE_CONFIG` if it is unset: call it before other threads run.
///
/// # Errors
/// [`Error::Libtorch`] when libtorch refuses.
pub fn set_deterministic(on: bool) -> Result<()> {
    // SAFETY: no pointers; documented to be called before other threads read the environment.
    ffi::check(unsafe { ffi::c10d_set_deterministic(on) }, "set_deterministic")
}

/// Whether cuDNN tries its algorithms out and keeps the fastest: for inputs of one size.
///
/// # Errors
/// [`Error::Libtorch`] when libtorch refuses.
pub fn set_cudnn_benchmark(on: bool) -> Result<()> {
    // SAFETY: no pointers.
    ffi::check(unsafe { ffi::c10d_set_benchmark(on) }, "set_cudnn_benchmark")
}

/// Whether float32 matrix products and convolutions on CUDA may use TF32 (10-bit mantissa).
///
/// # Errors
/// [`Error::Libtorch`] when libtorch refuses.
pub fn set_tf32(on: bool) -> Result<()> {
    // SAFETY: no pointers.
    ffi::check(unsafe { ffi::c10d_set_tf32(on) }, "set_tf32")
}

/// Whether this thread's CPU arithmetic turns denormal numbers into zero, which is much faster
/// where they occur. Returns false where the processor cannot.
pub fn set_flush_denormal(on: bool) -> bool {
    // SAFETY: no pointers.
    unsafe { ffi::c10d_set_flush_denormal(on) }
}

/// Gives large CPU tensors a caching allocator, as CUDA's have: what is freed is reused, not
/// returned to the system, as long as the process holds no more than it once used at a time.
///
/// The C library's allocator otherwise asks the system for every large tensor, and the system
/// clears each page: about 0.2 ms a megabyte, more than many operations take. Call it before
/// the first tensor. Does nothing where the environment already chooses an allocator
/// (`MALLOC_…_`, `GLIBC_TUNABLES`, `LD_PRELOAD`) or the system is not Linux. Returns whether it
/// was done.
pub fn cache_cpu_memory() -> bool {
    let chosen = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("MALLOC_") || name == "GLIBC_TUNABLES" || name == "LD_PRELOAD"
    };
    if std::env::vars_os().any(|(name, _)| chosen(&name)) {
        return false;
    }
    // SAFETY: no pointers.
    unsafe { ffi::c10d_cache_cpu_memory() }
}

/// What this program runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// libtorch, as "2.13.0".
    pub libtorch: String,
    /// The CUDA runtime that libtorch was built with, as "13.0".
    pub cuda: Option<String>,
    /// NCCL, as "2.27.7"; `None` without the feature `cuda`.
    pub nccl: Option<String>,
    /// Whether Gloo is built in (always, at present).
    pub gloo: bool,
}

/// The versions of libtorch and of what came with it.
pub fn versions() -> Versions {
    // SAFETY: a string literal.
    let libtorch = unsafe { CStr::from_ptr(ffi::c10d_libtorch_version()) };
    // SAFETY: no pointers.
    let (cuda, nccl) = unsafe { (ffi::c10d_cuda_version(), ffi::c10d_nccl_version()) };
    Versions {
        libtorch: libtorch.to_string_lossy().into_owned(),
        cuda: (cuda > 0).then(|| format!("{}.{}", cuda / 1000, cuda % 1000 / 10)),
        nccl: (nccl > 0).then(|| format!("{}.{}.{}", nccl / 10_000, nccl / 100 % 100, nccl % 100)),
        gloo: true,
    }
}

/// Bytes that libtorch's CUDA allocator has handed out and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CudaMemory {
    /// In tensors now.
    pub allocated: u64,
    /// In tensors at most, since the start or [`reset_cuda_peak`].
    pub max_allocated: u64,
    /// Taken from the device now.
    pub reserved: u64,
    /// Taken from the device at most.
    pub max_reserved: u64,
}

/// The memory statistics of a CUDA device.
///
/// # Errors
/// [`Error::Unsupported`] for a device that is not CUDA or not there.
pub fn cuda_memory(device: Device) -> Result<CudaMemory> {
    let mut bytes = [0_i64; 4];
    let index = cuda_index(device)?;
    // SAFETY: room for four numbers.
    ffi::check(unsafe { ffi::c10d_cuda_memory(index, bytes.as_mut_ptr()) }, "cuda_memory")?;
    let [allocated, max_allocated, reserved, max_reserved] =
        bytes.map(|n| u64::try_from(n).unwrap_or(0));
    Ok(CudaMemory { allocated, max_allocated, reserved, max_reserved })
}

/// Starts the peaks of [`cuda_memory`] anew.
///
/// # Errors
/// As for [`cuda_memory`].
pub fn reset_cuda_peak(device: Device) -> Result<()> {
    let index = cuda_index(device)?;
    // SAFETY: no pointers.
    ffi::check(unsafe { ffi::c10d_reset_cuda_peak(index) }, "reset_cuda_peak")
}

/// Gives CUDA memory that no tensor uses back to the device. Does nothing without CUDA.
///
/// # Errors
/// [`Error::Libtorch`] when CUDA reports one.
pub fn empty_cuda_cache() -> Result<()> {
    // SAFETY: no pointers.
    ffi::check(unsafe { ffi::c10d_empty_cuda_cache() }, "empty_cuda_cache")
}

fn cuda_index(device: Device) -> Result<i32> {
    match device {
        Device::Cuda(_) => device_code(device),
        other => Err(Error::Unsupported(format!("{other:?} is not a CUDA device"))),
    }
}
