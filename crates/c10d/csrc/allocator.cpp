// A caching allocator for large CPU tensors, as CUDA has one for its own.
//
// The C library asks the system for every large block anew, and the system clears its pages:
// 0.2 ms a megabyte, more than most operations take. Told to keep them, it scatters small
// blocks among large ones, and the process grows far beyond what it ever uses at once. Here
// large blocks live by themselves. Freed ones are kept and reused: whole where one fits, else
// their pages move to where a block of another size needs them, so that all blocks together,
// in use and kept, never take more memory than was once in use at the same time. Where pages
// cannot be moved, they go back to the system instead: only time is lost.
#include "block.h"
#include "guard.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>

#ifdef __linux__
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

namespace {

using memory::Assembly;
using memory::Block;

constexpr size_t kLarge = size_t{1} << 20;
// Sizes of blocks and of all their segments are multiples of this, which is a multiple of every
// usual page size (4, 16 or 64 KiB).
constexpr size_t kGranule = size_t{1} << 18;
// Every failed move may cost addresses (see Assembly::abandon). Where moves fail this often, as
// in a sandbox without mremap, they are no longer tried.
constexpr size_t kMostFailures = 32;

size_t page_size() {
  static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// Blocks may take a quarter of the mappings that a process may have.
size_t most_segments() {
  size_t mappings = 65530; // the kernel's default
  std::ifstream("/proc/sys/vm/max_map_count") >> mappings;
  return mappings / 4;
}

class CachingAllocator final : public c10::Allocator {
 public:
  // Never destroyed: tensors outlive the statics of this file.
  static CachingAllocator& one() {
    static auto* allocator = new CachingAllocator;
    return *allocator;
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes < kLarge ? small(bytes) : take(bytes);
    return {data, data, &release, c10::Device(c10::kCPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override {
    return &release;
  }

  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }

  // bytes: in use, most in use at once, in use and kept; then the number of segments.
  void statistics(int64_t* bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    bytes[0] = static_cast<int64_t>(used_);
    bytes[1] = static_cast<int64_t>(peak_);
    bytes[2] = static_cast<int64_t>(used_ + kept_bytes_);
    bytes[3] = static_cast<int64_t>(Block::segments());
  }

  // A child process gets a usable allocator, whatever other threads did while it was forked.
  static void before_fork() {
    one().mutex_.lock();
  }
  static void after_fork() {
    one().mutex_.unlock();
  }

 private:
  using Kept = std::list<Block>; // longest unused first

  void* small(size_t bytes) {
    try {
      return c10::alloc_cpu(bytes);
    } catch (const std::exception&) {
      const std::lock_guard<std::mutex> lock(mutex_);
      release_kept();
    }
    return c10::alloc_cpu(bytes);
  }

  void* take(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    check(bytes <= std::numeric_limits<size_t>::max() / 2, bytes);
    const size_t size = (bytes + kGranule - 1) / kGranule * kGranule;
    const auto fit = by_size_.lower_bound(size);
    if (fit != by_size_.end() && fit->first <= size + size / 8) {
      const auto place = fit->second;
      by_size_.erase(fit);
      Block block = std::move(*place);
      kept_.erase(place);
      kept_bytes_ -= block.size();
      return use(std::move(block));
    }
    if (Block::segments() + 2 > most_segments_) {
      release_kept();
    }
    Block block = assemble(size);
    if (!block) {
      make_room(size);
      block = Block::map(size);
    }
    if (!block) {
      // Limits on memory or addresses count what is kept, too.
      release_kept();
      block = Block::map(size);
    }
    check(static_cast<bool>(block), size);
    return use(std::move(block));
  }

  void check(bool possible, size_t size) const {
    TORCH_CHECK(
        possible, "out of memory: the system refuses ", size >> 20, " MiB beside ", used_ >> 20,
        " MiB of tensors; take smaller batches or images, or raise the limit (ulimit -v, "
        "vm.overcommit_memory)");
  }

  // How many kept bytes must go before `size` more come into use.
  size_t excess(size_t size) const {
    const size_t together = used_ + kept_bytes_ + size;
    const size_t limit = std::max(peak_, used_ + size);
    return together - std::min(together, limit);
  }

  // A block that begins with the pages of the blocks longest unused, as many as must go. Empty
  // if none must go, or if they could not be moved.
  Block assemble(size_t size) {
    if (excess(size) == 0 || failures_ >= kMostFailures) {
      return {};
    }
    Assembly assembly(size);
    if (!assembly) {
      return {};
    }
    for (size_t bytes = excess(size); bytes > 0;) {
      const size_t part = std::min(bytes, kept_.front().last_segment());
      assembly.reserve_segment();
      bool moved = false;
      change_oldest(part, [&](Block& oldest) { moved = assembly.move(oldest, part); });
      if (!moved) {
        ++failures_;
        return {};
      }
      bytes -= part;
    }
    return assembly.finish();
  }

  // Gives the system back what must go.
  void make_room(size_t size) {
    for (size_t bytes = excess(size); bytes > 0;) {
      const size_t part = std::min(bytes, kept_.front().last_segment());
      change_oldest(part, [&](Block& oldest) { oldest.shrink(part); });
      bytes -= part;
    }
  }

  // `change` takes `bytes` off the block longest unused.
  template <typename Change>
  void change_oldest(size_t bytes, const Change& change) {
    auto entry = by_size_.extract(place(kept_.begin()));
    change(kept_.front());
    kept_bytes_ -= bytes;
    if (kept_.front().size() == 0) {
      kept_.pop_front();
    } else {
      entry.key() = kept_.front().size();
      by_size_.insert(std::move(entry));
    }
  }

  void release_kept() {
    by_size_.clear();
    kept_.clear();
    kept_bytes_ = 0;
  }

  void* use(Block block) {
    char* data = block.data();
    const size_t size = block.size();
    in_use_.emplace(data, std::move(block));
    used_ += size;
    peak_ = std::max(peak_, used_);
    return data;
  }

  static void release(void* data) {
    // Large blocks begin a page; few small ones do.
    if (reinterpret_cast<uintptr_t>(data) % page_size() != 0 || !one().keep(data)) {
      c10::free_cpu(data);
    }
  }

  // False if the block is none of ours.
  bool keep(void* data) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = in_use_.find(data);
    if (found == in_use_.end()) {
      return false;
    }
    Block block = std::move(found->second);
    in_use_.erase(found);
    used_ -= block.size();
    try {
      Kept one;
      one.push_back(std::move(block));
      by_size_.emplace(one.front().size(), one.begin());
      kept_bytes_ += one.front().size();
      kept_.splice(kept_.end(), one);
    } catch (const std::bad_alloc&) {
      // No memory to write it down: its destructor has given the block back.
    }
    return true;
  }

  std::multimap<size_t, Kept::iterator>::iterator place(Kept::iterator block) {
    auto [first, last] = by_size_.equal_range(block->size());
    while (first != last && first->second != block) {
      ++first;
    }
    return first;
  }

  std::mutex mutex_;
  std::unordered_map<void*, Block> in_use_;
  Kept kept_;
  std::multimap<size_t, Kept::iterator> by_size_;
  size_t used_ = 0;
  size_t kept_bytes_ = 0;
  size_t peak_ = 0; // most bytes in use at once
  size_t failures_ = 0; // of mremap
  const size_t most_segments_ = most_segments();
};

bool install() {
  if (kGranule % page_size() != 0) {
    return false;
  }
  // Above the priority of libtorch's own.
  c10::SetCPUAllocator(&CachingAllocator::one(), 1);
  pthread_atfork(
      &CachingAllocator::before_fork, &CachingAllocator::after_fork,
      &CachingAllocator::after_fork);
#ifdef __GLIBC__
  // What is not a tensor (oneDNN's scratch memory) stays in the heap, as far as the C library
  // allows: old ones take no threshold above 32 MiB.
  for (int threshold = 1 << 30; mallopt(M_MMAP_THRESHOLD, threshold) == 0 && threshold > 1;) {
    threshold /= 2;
  }
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
  return true;
}

} // namespace

extern "C" bool c10d_cache_cpu_memory() {
  bool done = false;
  shim::guard([&] {
    static const bool installed = install();
    done = installed;
  });
  return done;
}

// bytes: in use, most in use at once, in use and kept; then the number of segments.
extern "C" int32_t c10d_cpu_memory(int64_t* bytes) {
  return shim::guard([&] { CachingAllocator::one().statistics(bytes); });
}

#else

extern "C" bool c10d_cache_cpu_memory() noexcept {
  return false;
}

extern "C" int32_t c10d_cpu_memory(int64_t* bytes) {
  return shim::guard([&] { std::fill_n(bytes, 4, 0); });
}

#endif
