//! What the process uses: processor time and memory.

use rustix::time::{ClockId, clock_gettime};
use tch::Device;

/// Processor time of all threads so far, in seconds, the system's on their behalf included.
pub(super) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Largest memory so far, in MB (10⁶ bytes): libtorch's on a CUDA device, else the
/// process's resident size; 0 where the system does not tell.
pub(super) fn peak_memory_mb(device: Device) -> f64 {
    if device.is_cuda() {
        return c10d::torch::cuda_memory(device).map_or(0.0, |m| m.max_allocated as f64 / 1e6);
    }
    status_mb("VmHWM:")
}

/// Resident size of the process now, in MB (10⁶ bytes); 0 where the system does not tell.
pub(super) fn resident_mb() -> f64 {
    status_mb("VmRSS:")
}

fn status_mb(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(0.0, |kib| kib * 1024.0 / 1e6)
}
