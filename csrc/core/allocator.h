// Caching allocator: freshly mapped pages cost more than much of the arithmetic on them, so blocks are kept
// and handed out again. Size classes of an eighth of a power of two; blocks of 2 MiB and more are aligned and
// advised for huge pages. Thread-safe.
#pragma once
#include <cstddef>
#include <cstdint>

namespace nnlib {

struct AllocatorStats {
  int64_t allocated = 0;       // bytes in use by tensors
  int64_t peak_allocated = 0;  // the most that `allocated` has been
  int64_t cached = 0;          // bytes kept for reuse
  int64_t system_calls = 0;    // blocks asked of the system
};

// At least n bytes, aligned to 64 (to 2 MiB for large blocks). Throws MemoryError with the size.
void* allocate(size_t n);
// Takes back what allocate(n) gave.
void deallocate(void* p, size_t n) noexcept;

AllocatorStats allocator_stats();
void reset_peak_allocated();
// Gives all cached blocks back to the system.
void empty_cache();
// The most bytes that the cache may keep; freeing past it goes to the system.
void set_cache_limit(int64_t bytes);
int64_t cache_limit();

}  // namespace nnlib
