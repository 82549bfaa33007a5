// How ranks find each other: a TCPStore, a prefix of this run's own, and a roll call.
#include "group.h"
#include "shim.h"

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <cstdlib>
#include <mutex>

using std::chrono::milliseconds;

namespace {

using TCPStore = c10d::TCPStore;

// libtorch also writes what it throws, with its C++ frames, to stderr. The caller gets all of
// that as an error; whoever wants the frames sets TORCH_CPP_LOG_LEVEL. The level is the whole
// process's: the first of several guards at once lowers it, the last one brings it back.
class QuietLog {
 public:
  QuietLog() {
    const std::lock_guard<std::mutex> lock(mutex());
    if (guards()++ > 0) return;
    level() = FLAGS_caffe2_log_level;
    if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = kFatal;
  }
  ~QuietLog() {
    const std::lock_guard<std::mutex> lock(mutex());
    if (--guards() == 0) FLAGS_caffe2_log_level = level();
  }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;

 private:
  static constexpr int kFatal = 3;
  // Never destroyed: a thread that is left behind may outlive the statics of this file.
  static std::mutex& mutex() {
    static auto* one = new std::mutex;
    return *one;
  }
  static int& guards() {
    static int count = 0;
    return count;
  }
  static int& level() {
    static int before = 0;
    return before;
  }
};

std::string joined_key(int32_t rank) {
  return "joined/" + std::to_string(rank);
}

std::vector<uint8_t> bytes_of(const uint8_t* bytes, int64_t length) {
  return std::vector<uint8_t>(bytes, bytes + length);
}

} // namespace

extern "C" {

// listener: a socket that listens already, which the store takes over; -1 connects to `host`
// and `port` instead. Its time limit covers connecting, but not the first exchange, nor any
// later one: callers bound those themselves.
int32_t c10d_store_new(
    const char* host, uint16_t port, int32_t listener, int64_t timeout_ms, ShimStore** out) {
  return shim::guard([&] {
    const QuietLog quiet;
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = listener >= 0;
    if (options.isServer) {
      options.masterListenFd = listener;
    }
    // The roll call below waits for the others, and can name those that are missing.
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout_ms);
    *out = new ShimStore{c10::make_intrusive<TCPStore>(host, options)};
  });
}

// The same store over a connection of its own, its keys below `prefix`.
int32_t c10d_store_below(const ShimStore* store, const char* prefix, ShimStore** out) {
  return shim::guard([&] {
    const QuietLog quiet;
    *out = new ShimStore{
        c10::make_intrusive<c10d::PrefixStore>(prefix, store->store->clone())};
  });
}

int32_t c10d_store_set(
    const ShimStore* store, const char* key, const uint8_t* bytes, int64_t length) {
  return shim::guard([&] { store->store->set(key, bytes_of(bytes, length)); });
}

// Sets a key that nobody has set.
int32_t c10d_store_set_once(
    const ShimStore* store, const char* key, const uint8_t* bytes, int64_t length) {
  return shim::guard([&] { store->store->compareSet(key, {}, bytes_of(bytes, length)); });
}

// Copies at most `capacity` bytes of a value; *length is what it has, -1 if there is none.
int32_t c10d_store_get(
    const ShimStore* store, const char* key, uint8_t* buffer, int64_t capacity, int64_t* length) {
  return shim::guard([&] {
    *length = -1;
    if (store->store->check({key})) {
      const auto value = store->store->get(key);
      *length = static_cast<int64_t>(value.size());
      std::copy_n(value.begin(), std::min(*length, capacity), buffer);
    }
  });
}

int32_t c10d_store_wait(const ShimStore* store, const char* key, int64_t timeout_ms) {
  return shim::guard([&] {
    const QuietLog quiet;
    store->store->wait({key}, milliseconds(timeout_ms));
  });
}

// Says "here" and waits until all `size` ranks have. On failure joined[r] tells who had.
int32_t c10d_store_join(
    const ShimStore* store, int32_t rank, int32_t size, int64_t timeout_ms, uint8_t* joined) {
  return shim::guard([&] {
    const QuietLog quiet;
    auto& s = *store->store;
    std::vector<std::string> keys;
    for (int32_t r = 0; r < size; ++r) {
      keys.push_back(joined_key(r));
    }
    if (s.add("count/" + std::to_string(rank), 1) > 1) {
      throw shim::Failure(
          shim::kRendezvous, "another process has joined as this rank: it was started twice");
    }
    s.set(joined_key(rank), std::vector<uint8_t>{1});
    try {
      s.wait(keys, milliseconds(timeout_ms));
    } catch (...) {
      try {
        for (int32_t r = 0; r < size; ++r) {
          joined[r] = s.check({joined_key(r)}) ? 1 : 0;
        }
      } catch (...) {
        // The store itself is gone; the first failure is the one to report.
      }
      throw;
    }
  });
}

void c10d_store_free(ShimStore* store) {
  shim::guard([&] { delete store; });
}

} // extern "C"
