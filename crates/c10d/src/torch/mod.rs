//! What tch lacks: Adam and SGD over state of one's own, gradient norms without a host read, random
//! generator state, libtorch's global switches, its profiler, copies through pinned memory, resizing
//! that repeats.

mod autocast;
mod checkpoint;
mod context;
mod optim;
mod profile;
mod reading;
mod resize;
mod rng;
mod transfer;

pub use autocast::{Autocast, widened};
pub(crate) use checkpoint::segment_failure;
pub use checkpoint::{checkpoint, recomputing};
pub use context::{
    CudaMemory, Versions, cache_cpu_memory, cuda_memory, empty_cuda_cache, reset_cuda_peak,
    set_cudnn_benchmark, set_deterministic, set_flush_denormal, set_tf32, versions,
};
pub use optim::{
    Adam, Sgd, clip_grads, fused_adam_, fused_sgd_, grad_norm, restore_if, zero_grads,
};
pub use profile::{Profile, Range, range};
pub use reading::{Reading, read_later};
pub use resize::resize;
pub use rng::{randn_seeded, rng_state, set_rng_state};
pub use transfer::{from_bytes, map_bytes, upload};
