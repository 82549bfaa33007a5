//! What tch lacks: Adam over state of one's own, gradient norms without a host read, random
//! generator state, libtorch's global switches.

mod context;
mod optim;
mod rng;

pub use context::{
    CudaMemory, Versions, cuda_memory, empty_cuda_cache, reset_cuda_peak, set_cudnn_benchmark,
    set_deterministic, set_flush_denormal, set_tf32, versions,
};
pub use optim::{Adam, clip_grads, fused_adam_, grad_norm, zero_grads};
pub use rng::{randn_seeded, rng_state, set_rng_state};
