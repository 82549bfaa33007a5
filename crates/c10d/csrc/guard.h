// No exception leaves C++: every function that Rust calls runs its body in guard(), or is
// noexcept if there is nothing in it that could throw. A test reads these files for it.
//
// guard() gives a status (0 = done); the message of the last failure on this thread is
// c10d_last_error().
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

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

} // namespace shim
