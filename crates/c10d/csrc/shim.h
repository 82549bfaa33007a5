// The C face of the shim: every function returns a status (0 = done) and never lets an
// exception out. The message of the last failure on this thread is c10d_last_error().
//
// Tensors cross as tch's C_tensor, which is a torch::Tensor allocated with new: inputs are
// borrowed, outputs are given away.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace shim {

// Mirrored by `Status` in src/ffi.rs.
enum Status : int32_t {
  kOk = 0,
  kLibtorch = 1,
  kTimeout = 2,
  kPeerLost = 3,
  kAddressInUse = 4,
  kRendezvous = 5,
  kUnsupported = 6,
  kInvalid = 7,
};

// A failure that the shim itself finds, its status known.
struct Failure : std::runtime_error {
  Failure(Status status, const std::string& message)
      : std::runtime_error(message), status(status) {}
  Status status;
};

// Files the exception being handled under this thread's last error; returns its status.
int32_t record_current_exception() noexcept;

template <typename Body>
int32_t guard(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return kOk;
  } catch (...) {
    return record_current_exception();
  }
}

inline std::vector<at::Tensor> list(const at::Tensor* const* tensors, int64_t count) {
  std::vector<at::Tensor> result;
  result.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    result.push_back(*tensors[i]);
  }
  return result;
}

} // namespace shim
