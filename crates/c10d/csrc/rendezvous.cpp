// How ranks find each other: a store, a prefix of this run's own, and a roll call.
//
// The store is libtorch's TCPStore, or, in a run with a secret, one that src/keeper.rs keeps.
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
using Value = std::vector<uint8_t>;

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

// A run of bytes that the other side owns; mirrored by `Bytes` in src/connection.rs.
struct Bytes {
  const uint8_t* start;
  int64_t length;
};

// What src/connection.rs does; mirrored by `Calls` there. The answer of a request is the
// connection's, until the next one.
struct Calls {
  int32_t (*request)(
      void* connection, uint8_t verb, int64_t number, const Bytes* parts, int64_t count, Bytes* out);
  int32_t (*again)(void* connection, void** out);
  void (*free)(void* connection);
};

// A connection to an authenticated store, as libtorch's process groups want it.
class AuthenticatedStore : public c10d::Store {
 public:
  AuthenticatedStore(void* connection, const Calls* calls)
      : connection_(connection), calls_(calls) {}
  ~AuthenticatedStore() override { calls_->free(connection_); }

  c10::intrusive_ptr<c10d::Store> clone() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    void* second = nullptr;
    const auto status = calls_->again(connection_, &second);
    if (status != shim::kOk) {
      throw shim::Failure(static_cast<shim::Status>(status), "connecting to the store failed");
    }
    auto store = c10::make_intrusive<AuthenticatedStore>(second, calls_);
    store->setTimeout(timeout_);
    return store;
  }

  using c10d::Store::compareSet;
  using c10d::Store::set;

  void set(const std::string& key, const Value& value) override {
    ask(kSet, 0, {of(key), of(value)});
  }
  Value compareSet(const std::string& key, const Value& expected, const Value& value) override {
    return ask(kCompareSet, 0, {of(key), of(expected), of(value)});
  }
  Value get(const std::string& key) override {
    return ask(kGet, timeout_.count(), {of(key)});
  }
  int64_t add(const std::string& key, int64_t value) override {
    return number(ask(kAdd, value, {of(key)}));
  }
  bool deleteKey(const std::string& key) override { return ask(kDelete, 0, {of(key)}).at(0) == 1; }
  bool check(const std::vector<std::string>& keys) override {
    return ask(kCheck, 0, of(keys)).at(0) == 1;
  }
  int64_t getNumKeys() override { return number(ask(kCount, 0, {})); }
  void wait(const std::vector<std::string>& keys) override { wait(keys, timeout_); }
  void wait(const std::vector<std::string>& keys, const milliseconds& timeout) override {
    ask(kWait, timeout.count(), of(keys));
  }

 private:
  // Mirrors `Verb` in src/wire.rs.
  enum Verb : uint8_t {
    kSet = 1,
    kCompareSet = 2,
    kGet = 3,
    kAdd = 4,
    kDelete = 5,
    kCheck = 6,
    kWait = 7,
    kCount = 8,
  };

  Value ask(Verb verb, int64_t number, const std::vector<Bytes>& parts) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Bytes answer{nullptr, 0};
    const auto status = calls_->request(
        connection_, verb, number, parts.data(), static_cast<int64_t>(parts.size()), &answer);
    if (status != shim::kOk) {
      throw shim::Failure(
          static_cast<shim::Status>(status),
          std::string(reinterpret_cast<const char*>(answer.start), answer.length));
    }
    return Value(answer.start, answer.start + answer.length);
  }

  template <typename Text>
  static Bytes of(const Text& text) {
    return {
        reinterpret_cast<const uint8_t*>(text.data()), static_cast<int64_t>(text.size())};
  }
  static std::vector<Bytes> of(const std::vector<std::string>& keys) {
    std::vector<Bytes> parts;
    for (const auto& key : keys) {
      parts.push_back(of<std::string>(key));
    }
    return parts;
  }
  static int64_t number(const Value& answer) {
    int64_t number = 0;
    for (size_t i = 0; i < sizeof(number); ++i) {
      number |= static_cast<int64_t>(answer.at(i)) << (8 * i);
    }
    return number;
  }

  void* connection_;
  const Calls* calls_;
  std::mutex mutex_;
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

// A store whose keeper is reached through `connection`, which it takes over.
int32_t c10d_store_authenticated(void* connection, const Calls* calls, ShimStore** out) {
  return shim::guard(
      [&] { *out = new ShimStore{c10::make_intrusive<AuthenticatedStore>(connection, calls)}; });
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
