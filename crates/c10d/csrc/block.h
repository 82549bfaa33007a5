// Memory from the system for the caching allocator: blocks made of several mappings.
//
// A block is one range of addresses, but its pages may come from several mappings, because
// pages are moved to it from others with mremap. What mremap does with a range that spans two
// mappings depends on the kernel: before Linux 6.17 it unmaps the target and then fails. Each
// block therefore keeps the lengths of its segments, each within one mapping, and only ranges
// within one segment are ever moved.
#pragma once

#ifdef __linux__

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace memory {

// Gives a range that is surely ours back to the system. Unmapping a part of a mapping may fail
// for want of one more mapping; then the range stays, but its pages go.
inline void unmap(void* data, size_t size) {
  if (size > 0 && munmap(data, size) != 0) {
    madvise(data, size, MADV_DONTNEED);
  }
}

// Owns its range of addresses. Not synchronised: the allocator's lock guards all blocks.
class Block {
 public:
  Block() = default;
  Block(Block&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        segments_(std::move(other.segments_)) {
    other.segments_.clear();
  }
  Block& operator=(Block&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    segments_.swap(other.segments_);
    return *this;
  }
  ~Block() {
    total_ -= segments_.size();
    unmap(data_, size_);
  }

  // Fresh pages in one segment; an empty block if the system refuses.
  static Block map(size_t size) {
    Block block;
    block.segments_.reserve(1);
    void* data =
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data != MAP_FAILED) {
      block.data_ = static_cast<char*>(data);
      block.append(size);
    }
    return block;
  }

  explicit operator bool() const {
    return data_ != nullptr;
  }
  char* data() const {
    return data_;
  }
  size_t size() const {
    return size_;
  }
  size_t last_segment() const {
    return segments_.back();
  }

  // Unmaps the last `bytes`, at most the last segment.
  void shrink(size_t bytes) {
    unmap(cut(bytes), bytes);
  }

  // The segments of all blocks: at most so many mappings, of which a process may have a limited
  // number (vm.max_map_count).
  static size_t segments() {
    return total_;
  }

 private:
  friend class Assembly;

  // Room for it has been reserved.
  void append(size_t bytes) {
    size_ += bytes;
    segments_.push_back(bytes);
    ++total_;
  }

  // Lets go of the last `bytes` without unmapping them.
  char* cut(size_t bytes) {
    size_ -= bytes;
    segments_.back() -= bytes;
    if (segments_.back() == 0) {
      segments_.pop_back();
      --total_;
    }
    return data_ + size_;
  }

  char* data_ = nullptr;
  size_t size_ = 0;
  std::vector<size_t> segments_; // their lengths, in order; they add up to size_
  inline static size_t total_ = 0;
};

// Makes a block whose beginning is pages of other blocks.
class Assembly {
 public:
  // Only addresses for now. They may not be read or written, so that the kernel does not count
  // them as memory promised to us, which it would refuse under vm.overcommit_memory=2.
  explicit Assembly(size_t size) : size_(size) {
    void* start = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    start_ = start == MAP_FAILED ? nullptr : static_cast<char*>(start);
  }
  ~Assembly() {
    abandon(0);
  }
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  explicit operator bool() const {
    return start_ != nullptr;
  }

  // Room to note one segment more; may throw, and nothing after it does.
  void reserve_segment() {
    moved_.segments_.reserve(moved_.segments_.size() + 2); // for move() and for finish()
  }

  // Moves the last `bytes` of `source` here: at most its last segment. If the kernel refuses,
  // those bytes are unmapped instead, and the assembly is given up.
  bool move(Block& source, size_t bytes) noexcept {
    char* target = start_ + moved_.size_;
    char* pages = source.cut(bytes);
    if (mremap(pages, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED) {
      unmap(pages, bytes);
      abandon(bytes);
      return false;
    }
    moved_.append(bytes);
    return true;
  }

  // Makes the rest usable: an empty block if the system refuses.
  Block finish() noexcept {
    const size_t rest = size_ - moved_.size_;
    if (rest > 0) {
      if (mprotect(start_ + moved_.size_, rest, PROT_READ | PROT_WRITE) != 0) {
        abandon(0);
        return {};
      }
      moved_.append(rest);
    }
    moved_.data_ = std::exchange(start_, nullptr);
    return std::move(moved_);
  }

 private:
  // Unmaps all but the `lost` bytes where mremap has just failed. The kernel may have unmapped
  // them before it failed (it does so before Linux 6.17, and for some failures later), and
  // another thread may have mapped something of its own there since. Nothing tells whether it
  // has, so they are never touched again. If they are still reserved after all, that costs
  // addresses, but no memory. What lies before and after them was not part of the call and is
  // still ours.
  void abandon(size_t lost) {
    if (start_ != nullptr) {
      const size_t before = moved_.size_;
      unmap(start_, before);
      unmap(start_ + before + lost, size_ - before - lost);
    }
    start_ = nullptr;
    Block::total_ -= moved_.segments_.size();
    moved_.segments_.clear();
    moved_.size_ = 0;
  }

  char* start_;
  size_t size_;
  Block moved_; // without an address until it is finished, so that it unmaps nothing
};

} // namespace memory

#endif
