// How ranks find each other: a TCPStore, a prefix of this run's own, and a roll call.
#include "group.h"
#include "shim.h"

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <thread>

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

// TCPStore's time limit covers connecting, but not its first exchange: a listener that never
// answers (another program at that port, a host that died) would hold it for ever. So it
// opens on a thread of its own, which is left behind if it does not come back.
c10::intrusive_ptr<TCPStore> open_store(
    const std::string& host, const c10d::TCPStoreOptions& options) {
  auto promise = std::make_shared<std::promise<c10::intrusive_ptr<TCPStore>>>();
  auto opened = promise->get_future();
  // Also after this function gave up: what the thread says then, nobody waits for any more.
  auto quiet = std::make_shared<QuietLog>();
  std::thread([promise, quiet, host, options] {
    try {
      promise->set_value(c10::make_intrusive<TCPStore>(host, options));
    } catch (...) {
      promise->set_exception(std::current_exception());
    }
  }).detach();
  // A little longer than its own limit, to prefer its own message.
  if (opened.wait_for(options.timeout + milliseconds(500)) == std::future_status::timeout) {
    throw shim::Failure(shim::kTimeout, "what listens there does not answer as a store");
  }
  return opened.get();
}

std::string joined_key(int32_t rank) {
  return "joined/" + std::to_string(rank);
}

} // namespace

extern "C" {

int32_t c10d_store_new(
    const char* host,
    uint16_t port,
    bool server,
    int64_t timeout_ms,
    const char* prefix,
    ShimStore** out) {
  return shim::guard([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = server;
    // The roll call below waits for the others, and can name those that are missing.
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout_ms);
    auto store = open_store(host, options);
    *out = new ShimStore{c10::make_intrusive<c10d::PrefixStore>(prefix, std::move(store))};
  });
}

// Says "here" and waits until all `size` ranks have. On failure joined[r] tells who had.
int32_t c10d_store_join(
    ShimStore* store, int32_t rank, int32_t size, int64_t timeout_ms, uint8_t* joined) {
  return shim::guard([&] {
    auto& s = *store->store;
    std::vector<std::string> keys;
    for (int32_t r = 0; r < size; ++r) {
      keys.push_back(joined_key(r));
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
