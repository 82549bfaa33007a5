// A caching allocator for large CPU tensors, as CUDA has one for its own.
//
// The C library asks the system for every large block anew, and the system clears its pages:
// 0.2 ms a megabyte, more than most operations take. Told to keep them, it scatters small
// blocks among large ones, and the process grows far beyond what it ever uses at once. Here
// large blocks live by themselves. Freed ones are kept and reused: whole where one fits, else
// their pages move to where a block of another size needs them, so that all blocks together,
// in use and kept, never take more memory than was once in use at the same time.
#include "shim.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

#ifdef __linux__
#include <malloc.h>
#include <sys/mman.h>

namespace {

constexpr size_t kLarge = size_t{1} << 20;
constexpr size_t kGranule = size_t{1} << 18;
constexpr uintptr_t kPage = 4096;

class CachingAllocator final : public c10::Allocator {
 public:
  // Never destroyed: tensors outlive the statics of this file.
  static CachingAllocator& one() {
    static auto* allocator = new CachingAllocator;
    return *allocator;
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes < kLarge ? c10::alloc_cpu(bytes) : take(bytes);
    return {data, data, &release, c10::Device(c10::kCPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override {
    return &release;
  }

  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }

 private:
  struct Block {
    void* data;
    size_t size;
  };
  using Kept = std::list<Block>; // longest unused first

  void* take(size_t bytes) {
    const size_t size = (bytes + kGranule - 1) / kGranule * kGranule;
    const std::lock_guard<std::mutex> lock(mutex_);
    auto fit = by_size_.lower_bound(size);
    if (fit != by_size_.end() && fit->first <= size + size / 8) {
      const Block block = *fit->second;
      kept_.erase(fit->second);
      by_size_.erase(fit);
      kept_bytes_ -= block.size;
      return use(block);
    }
    void* data = mmap(
        nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK(
        data != MAP_FAILED, "out of memory: no ", size >> 20, " MiB beside ", used_ >> 20,
        " MiB of tensors");
    const size_t together = used_ + kept_bytes_ + size;
    const size_t limit = std::max(peak_, used_ + size);
    if (together > limit) {
      move_pages(static_cast<char*>(data), together - limit);
    }
    return use({data, size});
  }

  // Fills the beginning of a new block with the pages of the blocks longest unused.
  void move_pages(char* target, size_t bytes) {
    while (bytes > 0) {
      Block& block = kept_.front();
      const size_t part = std::min(bytes, block.size);
      by_size_.erase(place(kept_.begin()));
      block.size -= part;
      kept_bytes_ -= part;
      char* source = static_cast<char*>(block.data) + block.size;
      if (mremap(source, part, part, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED) {
        // Too many pieces already: the block takes fresh pages instead.
        munmap(source, part);
      }
      if (block.size == 0) {
        kept_.pop_front();
      } else {
        by_size_.emplace(block.size, kept_.begin());
      }
      target += part;
      bytes -= part;
    }
  }

  void* use(const Block& block) {
    used_ += block.size;
    peak_ = std::max(peak_, used_);
    sizes_.emplace(block.data, block.size);
    return block.data;
  }

  static void release(void* data) {
    // Large blocks begin a page; few small ones do.
    if (reinterpret_cast<uintptr_t>(data) % kPage != 0 || !one().keep(data)) {
      c10::free_cpu(data);
    }
  }

  bool keep(void* data) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = sizes_.find(data);
    if (found == sizes_.end()) {
      return false;
    }
    const Block block{data, found->second};
    sizes_.erase(found);
    used_ -= block.size;
    kept_bytes_ += block.size;
    kept_.push_back(block);
    by_size_.emplace(block.size, std::prev(kept_.end()));
    return true;
  }

  std::multimap<size_t, Kept::iterator>::iterator place(Kept::iterator block) {
    auto [first, last] = by_size_.equal_range(block->size);
    while (first != last && first->second != block) {
      ++first;
    }
    return first;
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> sizes_; // blocks in use
  Kept kept_;
  std::multimap<size_t, Kept::iterator> by_size_;
  size_t used_ = 0;
  size_t kept_bytes_ = 0;
  size_t peak_ = 0; // most bytes in use at once
};

} // namespace

extern "C" bool c10d_cache_cpu_memory() {
  // Above the priority of libtorch's own.
  c10::SetCPUAllocator(&CachingAllocator::one(), 1);
#ifdef __GLIBC__
  // What is not a tensor (oneDNN's scratch memory) stays in the heap.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
  return true;
}

#else

extern "C" bool c10d_cache_cpu_memory() {
  return false;
}

#endif
