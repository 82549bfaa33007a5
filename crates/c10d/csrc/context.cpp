// libtorch's global state: random generators, switches, versions, accelerator memory.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/ops/randn.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/headeronly/version.h>

#include <cstdlib>
#include <mutex>

namespace {

// -1 is the CPU, 0… a CUDA device, as in tch.
at::Device device_of(int32_t device) {
  if (device < 0) {
    return at::Device(at::kCPU);
  }
  if (!at::hasCUDA()) {
    throw shim::Failure(shim::kUnsupported, "no CUDA device is available to this libtorch");
  }
  at::globalContext().lazyInitDevice(at::kCUDA);
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device));
}

} // namespace

extern "C" {

int32_t c10d_randn_seeded(
    const int64_t* shape,
    int64_t dims,
    uint64_t seed,
    int32_t scalar_type,
    int32_t device,
    at::Tensor** out) {
  return shim::guard([&] {
    const at::Device place = device_of(device);
    // A clone has a state of its own; seeding it leaves the default generator as it was.
    at::Generator generator = [&] {
      at::Generator source = at::globalContext().defaultGenerator(place);
      std::lock_guard<std::mutex> lock(source.mutex());
      return source.clone();
    }();
    generator.set_current_seed(seed);
    const auto options =
        at::TensorOptions().dtype(static_cast<at::ScalarType>(scalar_type)).device(place);
    *out = new at::Tensor(
        at::randn(at::IntArrayRef(shape, static_cast<size_t>(dims)), generator, options));
  });
}

int32_t c10d_rng_state(int32_t device, at::Tensor** out) {
  return shim::guard([&] {
    at::Generator generator = at::globalContext().defaultGenerator(device_of(device));
    std::lock_guard<std::mutex> lock(generator.mutex());
    *out = new at::Tensor(generator.get_state());
  });
}

int32_t c10d_set_rng_state(int32_t device, const at::Tensor* state) {
  return shim::guard([&] {
    at::Generator generator = at::globalContext().defaultGenerator(device_of(device));
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(*state);
  });
}

int32_t c10d_set_deterministic(bool on) {
  return shim::guard([&] {
    auto& context = at::globalContext();
    if (on) {
      // cuBLAS is deterministic only with a fixed workspace; an earlier setting wins.
      setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    }
    context.setDeterministicAlgorithms(on, /*warn_only=*/true);
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(on);
    context.setBenchmarkCuDNN(false);
  });
}

int32_t c10d_set_benchmark(bool on) {
  return shim::guard([&] { at::globalContext().setBenchmarkCuDNN(on); });
}

int32_t c10d_set_tf32(bool on) {
  return shim::guard([&] {
    at::globalContext().setAllowTF32CuBLAS(on);
    at::globalContext().setAllowTF32CuDNN(on);
  });
}

// Returns whether this processor can.
bool c10d_set_flush_denormal(bool on) {
  bool done = false;
  shim::guard([&] { done = at::Context::setFlushDenormal(on); });
  return done;
}

const char* c10d_libtorch_version() noexcept {
  return TORCH_VERSION;
}

// The CUDA runtime's version as major*1000 + minor*10; 0 without CUDA.
int64_t c10d_cuda_version() {
  int64_t version = 0;
  shim::guard([&] {
    if (at::Context::hasCUDART()) {
      version = at::Context::versionCUDART();
    }
  });
  return version;
}

// bytes: allocated, peak allocated, reserved, peak reserved.
int32_t c10d_cuda_memory(int32_t device, int64_t* bytes) {
  return shim::guard([&] {
    const auto place = device_of(device < 0 ? 0 : device);
    const auto stats = at::getDeviceAllocator(at::kCUDA)->getDeviceStats(place.index());
    bytes[0] = stats.allocated_bytes[0].current;
    bytes[1] = stats.allocated_bytes[0].peak;
    bytes[2] = stats.reserved_bytes[0].current;
    bytes[3] = stats.reserved_bytes[0].peak;
  });
}

int32_t c10d_reset_cuda_peak(int32_t device) {
  return shim::guard([&] {
    const auto place = device_of(device < 0 ? 0 : device);
    at::getDeviceAllocator(at::kCUDA)->resetPeakStats(place.index());
  });
}

int32_t c10d_empty_cuda_cache() {
  return shim::guard([&] {
    if (at::hasCUDA()) {
      at::getDeviceAllocator(at::kCUDA)->emptyCache();
    }
  });
}

} // extern "C"
