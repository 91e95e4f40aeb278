#pragma once

namespace nnlib::kernels::reference {
namespace {

void fill_lines(int64_t lines, uint64_t bits, void* y, bool) {
  for (int64_t i = 0; i < 8 * lines; ++i) static_cast<uint64_t*>(y)[i] = bits;
}

}  // namespace
}  // namespace nnlib::kernels::reference
