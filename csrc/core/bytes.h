// Bytes from one place to another.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nnlib {

// memcpy, but where the destination lies a little further into its page than the source: there the string
// instructions that serve long copies take ten times as long, as each store holds up the loads after it.
inline void copy_bytes(void* to, const void* from, size_t n) {
  constexpr size_t kLong = 2048, kGroup = 32;
  constexpr uintptr_t kPage = 4096, kNear = 64;
  const uintptr_t ahead = ((uintptr_t)to - (uintptr_t)from) % kPage;
  if (n < kLong || ahead == 0 || ahead >= kNear) return void(std::memcpy(to, from, n));
  char* d = (char*)to;
  const char* s = (const char*)from;
  for (; n >= kGroup; n -= kGroup, d += kGroup, s += kGroup) std::memcpy(d, s, kGroup);
  std::memcpy(d, s, n);
}

// n elements of `item` bytes that lie `step` elements apart, side by side: copy.cpp.
void copy_apart(int64_t item, int64_t n, const void* from, int64_t step, void* to);

}  // namespace nnlib
