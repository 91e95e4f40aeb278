// Working memory of a driver: one growing buffer per thread and purpose, kept for the next call.
#pragma once
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <utility>

#include "core/error.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace nnlib::drivers {

enum class Scratch {
  PanelsA,
  PanelsB,
  Output,
  Vector,
  Columns,
  Padded,
  Weights,
  Rows,
  Sums,
  Tiles,
  Products,
  Scores,
  Filters,
  TilesA,
  TilesB,
  TileSums,
  ImagesIn,
  ImagesOut,
  Kernels,
  PartIn,
  PartOut,
  PartWeights,
  TurnedIn,
  TurnedOut,
  Frame  // of convolutions, which find there what they left
};

namespace detail {
struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  ~Buffer() { std::free(data); }
};

// Large buffers lie on huge pages where the system gives them: the second-level cache is indexed by physical
// addresses, and scattered small pages make blocks that should fit drive each other out.
inline void grow(Buffer* buffer, size_t bytes) {
  const size_t huge = size_t(2) << 20, page = bytes < huge / 2 ? 4096 : huge;
  const size_t rounded = (bytes + page - 1) / page * page;
  std::free(buffer->data);
  buffer->data = std::aligned_alloc(page, rounded);
  buffer->bytes = buffer->data ? rounded : 0;
  NNLIB_CHECK(buffer->data, "could not allocate ", bytes, " bytes of working memory");
  if (page == huge) madvise(buffer->data, rounded, MADV_HUGEPAGE);
}
}  // namespace detail

// At least `count` elements, aligned to a page, contents undefined; valid until this thread asks for the same
// purpose again.
template <Scratch Purpose, class T>
T* scratch(int64_t count) {
  static thread_local detail::Buffer buffer;
  const size_t bytes = size_t(count < 1 ? 1 : count) * sizeof(T);
  if (buffer.bytes < bytes) detail::grow(&buffer, bytes);
#ifdef __SANITIZE_ADDRESS__  // what this call did not ask for is out of bounds, though the buffer is larger
  ASAN_UNPOISON_MEMORY_REGION(buffer.data, bytes);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(buffer.data) + bytes, buffer.bytes - bytes);
#endif
  return static_cast<T*>(buffer.data);
}

// What a thread makes once for all of its chunks of a loop. Loops that use the same T must not be nested.
template <class T>
class LoopLocal {
 public:
  LoopLocal() {
    static std::atomic<uint64_t> loops{0};
    loop_ = ++loops;
  }
  template <class... Args>
  T& get(Args&&... args) {
    struct Slot {
      uint64_t loop = 0;
      std::optional<T> value;
    };
    static thread_local Slot slot;
    if (slot.loop != loop_) {
      slot.value.emplace(std::forward<Args>(args)...);
      slot.loop = loop_;
    }
    return *slot.value;
  }

 private:
  uint64_t loop_;
};

}  // namespace nnlib::drivers
