// Mixed precision on this thread.
#include "shim.h"

#include <ATen/autocast_mode.h>

extern "C" {

int32_t c10d_autocast(bool cuda, bool on, bool* before) {
  return shim::guard([&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    *before = at::autocast::is_autocast_enabled(device);
    // Kept casts of weights would outlive the weights' next update within a step.
    at::autocast::set_autocast_cache_enabled(false);
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, on);
  });
}

int32_t c10d_is_autocast(bool cuda, bool* on) {
  return shim::guard([&] {
    *on = at::autocast::is_autocast_enabled(cuda ? at::kCUDA : at::kCPU);
  });
}

} // extern "C"
