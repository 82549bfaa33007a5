// A tensor on its way to the host, while the device goes on working.
#include "shim.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <memory>
#include <optional>

struct ShimReading {
  at::Tensor host;
  std::optional<c10::Event> arrived;
};

extern "C" {

int32_t c10d_read_later(const at::Tensor* tensor, ShimReading** out) {
  return shim::guard([&] {
    at::NoGradGuard no_grad;
    auto reading = std::make_unique<ShimReading>();
    if (tensor->is_cpu()) {
      reading->host = tensor->detach().clone();
    } else {
      const auto host = tensor->options().device(at::kCPU).pinned_memory(true);
      reading->host = at::empty_like(*tensor, host);
      reading->host.copy_(tensor->detach(), /*non_blocking=*/true);
      const auto device = tensor->device();
      const c10::impl::VirtualGuardImpl guard(device.type());
      reading->arrived.emplace(device.type());
      reading->arrived->record(guard.getStream(device));
    }
    *out = reading.release();
  });
}

int32_t c10d_reading_wait(ShimReading* reading, at::Tensor** out) {
  return shim::guard([&] {
    if (reading->arrived) {
      reading->arrived->synchronize();
    }
    *out = new at::Tensor(reading->host);
  });
}

void c10d_reading_free(ShimReading* reading) {
  shim::guard([&] { delete reading; });
}

} // extern "C"
