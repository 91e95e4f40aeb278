// Working memory of a driver: one growing buffer per thread and purpose, kept for the next call.
#pragma once
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <utility>

#include "core/error.h"

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
  Frame  // of convolutions, which find there what they left
};

namespace detail {
struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  ~Buffer() { std::free(data); }
};
}  // namespace detail

// At least `count` elements, aligned to a cache line, contents undefined; valid until this thread asks for
// the same purpose again.
template <Scratch Purpose, class T>
T* scratch(int64_t count) {
  static thread_local detail::Buffer buffer;
  const size_t bytes = (size_t(count < 1 ? 1 : count) * sizeof(T) + 4095) / 4096 * 4096;
  if (buffer.bytes < bytes) {
    std::free(buffer.data);
    buffer.data = std::aligned_alloc(4096, bytes);
    buffer.bytes = buffer.data ? bytes : 0;
    NNLIB_CHECK(buffer.data, "could not allocate ", bytes, " bytes of working memory");
  }
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
