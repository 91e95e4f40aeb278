// Weights in the form that a kernel reads (packed panels, transformed filters), kept from one call to the
// next.
//
// A form is made when the same memory is asked for a second time without a change in between: training, which
// changes its weights each step, never pays for it. It goes when its storage changes, moves or dies, or when
// the limit asks for room and it was used the longest ago. Memory whose changes nobody counts (NumPy arrays,
// tensors whose address was handed out) is never kept. Thread-safe.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/storage.h"

namespace nnlib::drivers {

enum class PackedKind : int64_t { GemmPanels, TileBlocks, ConvPanels, ConvRows, ConvDots, Cast };

// Which part of the storage, and in what form: the byte offset, strides, sizes, block sizes, type - whatever
// tells two forms apart.
struct PackedKey {
  PackedKind kind;
  std::array<int64_t, 18> part{};
  bool operator==(const PackedKey& o) const { return kind == o.kind && part == o.part; }
};

// The kept form of `weight`, aligned as `allocate` does; null where there is none, and the caller makes one
// for itself. make(memory) fills `bytes` of new memory; it runs on the calling thread without a lock. What is
// returned stays valid as long as the pointer is held.
using Packed = std::shared_ptr<const void>;
Packed packed_weight(Storage& weight, const PackedKey& key, int64_t bytes,
                     const std::function<void(void*)>& make);
// The same of a form that is no plain memory, of about so many bytes: make() gives it.
Packed kept_form(Storage& weight, const PackedKey& key, int64_t bytes, const std::function<Packed()>& make);

// The most bytes kept in all; at first NNLIB_PACKED_MB of the environment, else 256 MB. 0 keeps nothing.
void set_packed_limit(int64_t bytes);
int64_t packed_limit();
int64_t packed_bytes();
// Forgets all forms.
void drop_packed();

}  // namespace nnlib::drivers
