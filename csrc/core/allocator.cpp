#include "core/allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "core/error.h"

namespace nnlib {

namespace {

constexpr size_t kMinBlock = 64, kHuge = size_t(2) << 20;
constexpr int kClasses = 8 * 48;

// A sanitizer sees an access past the end, or to memory that was given back, only where blocks have their
// exact sizes and none is handed out again.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kKeepsBlocks = false;
#else
constexpr bool kKeepsBlocks = true;
#endif

// Rounds up to a multiple of an eighth of the power of two below, so at most 12.5% is wasted.
size_t class_size(size_t n, int* index) {
  n = std::max(n, kMinBlock);
  const int log = 63 - __builtin_clzll(n);
  const size_t step = std::max<size_t>(size_t(1) << (log - 3), kMinBlock);  // a power of two
  const size_t rounded = (n + step - 1) & ~(step - 1);
  int l2 = 63 - __builtin_clzll(rounded);
  *index = (l2 - 6) * 8 + (int)((rounded >> (l2 - 3)) & 7);
  return rounded;
}

int64_t default_limit() {
  // A quarter of the memory: enough for the activations of a step, little enough to live beside others.
  if (!kKeepsBlocks) return 0;
  int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGE_SIZE);
  return pages > 0 && page > 0 ? pages / 4 * page : int64_t(1) << 30;
}

struct Cache {
  std::mutex mutex;
  std::vector<void*> free[kClasses];
  AllocatorStats stats;
  int64_t limit = default_limit();
};
// Never destroyed: tensors of other static objects may outlive any order of destruction.
Cache& cache() {
  static Cache* c = new Cache;
  return *c;
}

// Space for n bytes in a block of `size`.
void* system_allocate(size_t n, size_t size) {
  void* p = nullptr;
  if (!kKeepsBlocks) size = n;
  if (posix_memalign(&p, size >= kHuge ? kHuge : kMinBlock, size) != 0) return nullptr;
  if (size >= kHuge) madvise(p, size, MADV_HUGEPAGE);
  return p;
}

}  // namespace

void* allocate(size_t n) {
  NNLIB_CHECK_AS(MemoryError, n < (size_t(1) << 47), "cannot allocate ", n,
                 " bytes: more than the address space");
  int index;
  size_t size = class_size(n, &index);
  Cache& c = cache();
  {
    std::lock_guard<std::mutex> lock(c.mutex);
    c.stats.allocated += (int64_t)size;
    c.stats.peak_allocated = std::max(c.stats.peak_allocated, c.stats.allocated);
    auto& list = c.free[index];
    if (!list.empty()) {
      void* p = list.back();
      list.pop_back();
      c.stats.cached -= (int64_t)size;
      return p;
    }
    c.stats.system_calls++;
  }
  void* p = system_allocate(n, size);
  if (!p) {
    empty_cache();
    p = system_allocate(n, size);
  }
  if (!p) {
    std::lock_guard<std::mutex> lock(c.mutex);
    c.stats.allocated -= (int64_t)size;
    throw_message<MemoryError>("not enough memory: you tried to allocate ", n, " bytes; nnlib holds ",
                               c.stats.allocated, " bytes in tensors");
  }
  return p;
}

void deallocate(void* p, size_t n) noexcept {
  if (!p) return;
  int index;
  size_t size = class_size(n, &index);
  Cache& c = cache();
  {
    std::lock_guard<std::mutex> lock(c.mutex);
    c.stats.allocated -= (int64_t)size;
    if (kKeepsBlocks && c.stats.cached + (int64_t)size <= c.limit) {
      try {
        c.free[index].push_back(p);
        c.stats.cached += (int64_t)size;
        return;
      } catch (const std::bad_alloc&) {  // no room to remember the block: give it back instead
      }
    }
  }
  std::free(p);
}

AllocatorStats allocator_stats() {
  std::lock_guard<std::mutex> lock(cache().mutex);
  return cache().stats;
}

void reset_peak_allocated() {
  std::lock_guard<std::mutex> lock(cache().mutex);
  cache().stats.peak_allocated = cache().stats.allocated;
}

void empty_cache() {
  std::vector<void*> blocks;
  {
    Cache& c = cache();
    std::lock_guard<std::mutex> lock(c.mutex);
    for (auto& list : c.free) {
      blocks.insert(blocks.end(), list.begin(), list.end());
      list.clear();
    }
    c.stats.cached = 0;
  }
  for (void* p : blocks) std::free(p);
}

void set_cache_limit(int64_t bytes) {
  NNLIB_CHECK_VALUE(bytes >= 0, "the cache limit must not be negative, got ", bytes);
  bool trim;
  {
    std::lock_guard<std::mutex> lock(cache().mutex);
    cache().limit = bytes;
    trim = cache().stats.cached > bytes;
  }
  if (trim) empty_cache();
}

int64_t cache_limit() {
  std::lock_guard<std::mutex> lock(cache().mutex);
  return cache().limit;
}

}  // namespace nnlib
