// Binary search without branches that depend on what is found: those would be guessed wrong every second
// time.
#pragma once
#include <cstdint>

namespace nnlib {

// How many of n items pass(i) holds for, where it holds for the first ones alone.
template <class F>
int64_t count_passing(int64_t n, const F& pass) {
  int64_t found = 0;
  while (n > 1) {
    const int64_t half = n / 2;
    found += half & -(int64_t)(bool)pass(found + half - 1);
    n -= half;
  }
  return n == 1 ? found + (int64_t)(bool)pass(found) : found;
}

}  // namespace nnlib
