#include "core/dtype.h"

#include <atomic>

namespace nnlib {

namespace {
struct Info {
  size_t size;
  const char *name, *legacy;
};
constexpr Info kInfo[kNumDtypes] = {
    {1, "bool", "Bool"},     {1, "uint8", "Byte"},     {1, "int8", "Char"},    {2, "int16", "Short"},
    {4, "int32", "Int"},     {8, "int64", "Long"},     {2, "float16", "Half"}, {2, "bfloat16", "BFloat16"},
    {4, "float32", "Float"}, {8, "float64", "Double"},
};
std::atomic<Dtype> g_default{Dtype::Float32};
}  // namespace

size_t itemsize(Dtype d) { return kInfo[(int)d].size; }
const char* dtype_name(Dtype d) { return kInfo[(int)d].name; }
const char* dtype_legacy_name(Dtype d) { return kInfo[(int)d].legacy; }

Dtype promote(Dtype a, Dtype b) {
  if (a == b) return a;
  if (a > b) return promote(b, a);
  // a < b in the order of the enum from here on.
  if (is_reduced_float(a) && is_reduced_float(b)) return Dtype::Float32;
  if (is_floating(b)) return b;
  if (a == Dtype::UInt8) return b == Dtype::Int8 ? Dtype::Int16 : b;
  return b;
}

bool can_cast(Dtype from, Dtype to) {
  if (is_floating(from) && !is_floating(to)) return false;
  return from == Dtype::Bool || to != Dtype::Bool;
}

Dtype default_dtype() { return g_default.load(std::memory_order_relaxed); }
void set_default_dtype(Dtype d) {
  NNLIB_CHECK_TYPE(is_floating(d), "only floating-point types are supported as the default type, got ",
                   dtype_name(d));
  g_default.store(d, std::memory_order_relaxed);
}

}  // namespace nnlib
