// Blocks of odd sizes come and go in several threads, each block with its own contents, while
// another thread maps and unmaps memory of its own. Checks that nothing changes what is not its
// own and that the process takes no more memory than was in use at the same time.
//
// Links with csrc/allocator.cpp and libc10 alone, so that it also runs in a small virtual
// machine (scripts/kernels.sh) and under sanitizers (scripts/sanitize.sh).
//
// usage: allocator_stress [ROUNDS [THREADS [MEGABYTES [LIMIT [FORKS]]]]]
// MEGABYTES: what a thread holds at most. LIMIT: so many megabytes of addresses are left to the
// process (as by ulimit -v; 0: no limit). FORKS: how many child processes allocate meanwhile.
// Prints one line and exits with 0 or 1.
#include <c10/core/CPUAllocator.h>

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../../csrc/guard.h"

extern "C" bool c10d_cache_cpu_memory();
extern "C" int32_t c10d_cpu_memory(int64_t* numbers) __attribute__((weak));

// In place of csrc/errors.cpp, which needs all of libtorch.
int32_t shim::record_current_exception() noexcept {
  return kLibtorch;
}

namespace {

constexpr size_t kMegabyte = size_t{1} << 20;
constexpr size_t kPage = 4096;

std::atomic<int> refused{0};

[[noreturn]] void fail(const char* what) {
  std::printf("FAILED: %s\n", what);
  std::fflush(stdout);
  _exit(1);
}

// Every page of a block tells whose it is and which page.
class Filled {
 public:
  Filled(size_t bytes, uint64_t name)
      : data_(c10::GetCPUAllocator()->allocate(bytes)), bytes_(bytes), name_(name) {
    each([](uint64_t* first, uint64_t* last, uint64_t value) { *first = *last = value; });
  }
  void check() const {
    each([](const uint64_t* first, const uint64_t* last, uint64_t value) {
      if (*first != value || *last != value) fail("the contents of a block have changed");
    });
  }
  size_t bytes() const {
    return bytes_;
  }

 private:
  template <typename Visit>
  void each(const Visit& visit) const {
    auto* data = static_cast<char*>(data_.get());
    for (size_t at = 0; at + kPage <= bytes_; at += kPage) {
      visit(
          reinterpret_cast<uint64_t*>(data + at),
          reinterpret_cast<uint64_t*>(data + at + kPage - sizeof(uint64_t)),
          (name_ << 24) + at / kPage);
    }
  }

  c10::DataPtr data_;
  size_t bytes_;
  uint64_t name_;
};

void come_and_go(uint64_t thread, int rounds, size_t budget) {
  std::mt19937_64 random(thread);
  std::vector<Filled> live;
  size_t total = 0;
  const auto remove = [&] {
    std::swap(live[random() % live.size()], live.back());
    live.back().check();
    total -= live.back().bytes();
    live.pop_back();
  };
  for (int round = 0; round < rounds; ++round) {
    size_t bytes = kMegabyte + random() % (budget / 4);
    while (total + bytes > budget) remove();
    try {
      live.emplace_back(bytes, thread << 16 | static_cast<uint64_t>(round));
      total += bytes;
    } catch (const c10::Error&) {
      ++refused;
    }
    // Now and then nearly all of it goes, and what is kept is used in other sizes.
    while (round % 16 == 0 && live.size() > 1) remove();
  }
  while (!live.empty()) remove();
}

// Mappings that are not the allocator's, at addresses that the kernel has just become free.
void map_and_unmap(const std::atomic<bool>& done) {
  std::vector<std::pair<unsigned char*, size_t>> maps;
  std::mt19937 random(99);
  while (!done) {
    const size_t bytes = kPage << random() % 10;
    void* data = mmap(
        nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      std::this_thread::yield();
      continue;
    }
    auto* first = static_cast<unsigned char*>(data);
    first[0] = first[bytes - 1] = 0x5a;
    maps.emplace_back(first, bytes);
    if (maps.size() > 32) {
      std::swap(maps[random() % maps.size()], maps.back());
      const auto [old, size] = maps.back();
      if (old[0] != 0x5a || old[size - 1] != 0x5a) fail("a mapping of another's has changed");
      munmap(old, size);
      maps.pop_back();
    }
    std::this_thread::yield();
  }
}

// Leaves the process so many bytes of addresses more than it has now.
void limit_addresses(size_t bytes) {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * static_cast<size_t>(sysconf(_SC_PAGESIZE)) + bytes;
  const rlimit limit{most, most};
  if (setrlimit(RLIMIT_AS, &limit) != 0) fail("setrlimit");
}

// Not ru_maxrss, which a process inherits from the one that started it.
size_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    size_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes << 10;
  }
  fail("no VmHWM in /proc/self/status");
}

// What another thread holds when this one forks is held for ever in the child.
void allocate_in_a_child() {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    try {
      Filled(3 * kMegabyte, 1).check();
    } catch (const c10::Error&) {
    }
    _exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    fail("a forked process cannot allocate");
  }
}

// Asking for too much is an error, and everything goes on after it.
void refuse_too_much() {
  for (const size_t bytes : {size_t{1} << 62, ~size_t{0}}) {
    try {
      c10::GetCPUAllocator()->allocate(bytes);
      fail("more memory than there are addresses");
    } catch (const c10::Error&) {
    }
  }
}

} // namespace

int main(int count, char** values) {
  const int rounds = count > 1 ? std::atoi(values[1]) : 400;
  const int threads = count > 2 ? std::atoi(values[2]) : 3;
  const size_t budget = static_cast<size_t>(count > 3 ? std::atoi(values[3]) : 80) * kMegabyte;
  const size_t limit = static_cast<size_t>(count > 4 ? std::atoi(values[4]) : 0) * kMegabyte;
  const int forks = count > 5 ? std::atoi(values[5]) : 20;
  if (!c10d_cache_cpu_memory()) fail("the allocator is not installed");
  mallopt(M_ARENA_MAX, 1); // which would take addresses for every thread
  if (limit > 0) limit_addresses(limit);
  const size_t before = peak_memory();

  std::atomic<bool> done{false};
  std::thread other(map_and_unmap, std::cref(done));
  std::vector<std::thread> workers;
  for (int t = 1; t <= threads; ++t) {
    workers.emplace_back(come_and_go, t, rounds, budget);
  }
  for (int i = 0; i < forks; ++i) allocate_in_a_child();
  refuse_too_much();
  for (auto& worker : workers) worker.join();
  done = true;
  other.join();

  // A block may be an eighth larger than asked for.
  size_t most = budget * static_cast<size_t>(threads) / kMegabyte * 9 / 8 + 24;
#ifdef __SANITIZE_THREAD__
  most *= 8; // which keeps notes on every word
#endif
  const size_t grown = (peak_memory() - before) / kMegabyte;
  int64_t numbers[4] = {0, 0, 0, 0};
  if (c10d_cpu_memory != nullptr) {
    c10d_cpu_memory(numbers);
    if (numbers[0] != 0 || numbers[2] > numbers[1]) fail("more is kept than was in use at once");
  }
  utsname system{};
  uname(&system);
  std::printf(
      "%s: Linux %s, %zu of at most %zu MB, %d refused, %lld segments left\n",
      grown <= most ? "passed" : "FAILED", system.release, grown, most, refused.load(),
      static_cast<long long>(numbers[3]));
  return grown <= most ? 0 : 1;
}
