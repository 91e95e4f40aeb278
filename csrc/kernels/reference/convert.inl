// The truth of convert.inl: one value after the other.
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

// A value of type `from` as an integer or a double, whichever holds it exactly.
struct AnyValue {
  bool whole;
  int64_t i;
  double f;
};
AnyValue read_any(int64_t from, int64_t k, const void* x) {
  switch (from) {
    case 0:
    case 1:
      return {true, static_cast<const uint8_t*>(x)[k], 0};
    case 2:
      return {true, static_cast<const int8_t*>(x)[k], 0};
    case 3:
      return {true, static_cast<const int16_t*>(x)[k], 0};
    case 4:
      return {true, static_cast<const int32_t*>(x)[k], 0};
    case 5:
      return {true, static_cast<const int64_t*>(x)[k], 0};
    case 6:
      return {false, 0, from_f16(static_cast<const uint16_t*>(x)[k])};
    case 7:
      return {false, 0, from_bf16(static_cast<const uint16_t*>(x)[k])};
    case 8:
      return {false, 0, static_cast<const float*>(x)[k]};
    default:
      return {false, 0, static_cast<const double*>(x)[k]};
  }
}

void convert(int64_t from, int64_t to, int64_t n, const void* x, void* y) {
  for (int64_t k = 0; k < n; ++k) {
    const AnyValue v = read_any(from, k, x);
    const float f = v.whole ? float(v.i) : float(v.f);
    const int64_t i = v.whole || to < 1 || to > 5 ? v.i : int64_t(v.f);
    switch (to) {
      case 0:
        static_cast<uint8_t*>(y)[k] = v.whole ? v.i != 0 : v.f != 0;
        break;
      case 1:
      case 2:
        static_cast<uint8_t*>(y)[k] = uint8_t(i);
        break;
      case 3:
        static_cast<int16_t*>(y)[k] = int16_t(i);
        break;
      case 4:
        static_cast<int32_t*>(y)[k] = int32_t(i);
        break;
      case 5:
        static_cast<int64_t*>(y)[k] = i;
        break;
      case 6:
        static_cast<uint16_t*>(y)[k] = to_f16(f);
        break;
      case 7:
        static_cast<uint16_t*>(y)[k] = to_bf16(f);
        break;
      case 8:
        static_cast<float*>(y)[k] = f;
        break;
      default:
        static_cast<double*>(y)[k] = v.whole ? double(v.i) : v.f;
    }
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
