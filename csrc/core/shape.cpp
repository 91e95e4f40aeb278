#include "core/shape.h"

#include <numeric>

namespace nnlib {

int64_t count(const Dims& sizes) {
  int64_t n = 1;
  bool empty = false;
  for (int64_t s : sizes) {
    NNLIB_CHECK(s >= 0, "Trying to create tensor with negative dimension ", s, ": ", sizes);
    if (s == 0) empty = true;
  }
  if (empty) return 0;
  for (int64_t s : sizes)
    NNLIB_CHECK(!__builtin_mul_overflow(n, s, &n) && n < (int64_t(1) << 60), "the size ", sizes,
                " is larger than memory can be");
  return n;
}

Dims contiguous_strides(const Dims& sizes) {
  Dims r(sizes.size(), 1);
  // Unsigned: where another size is 0 the others may be anything, and their product wraps.
  for (int i = sizes.ssize() - 2; i >= 0; i--)
    r[i] = (int64_t)((uint64_t)r[i + 1] * (uint64_t)std::max<int64_t>(sizes[i + 1], 1));
  return r;
}

Dims channels_last_strides(const Dims& sizes) {
  NNLIB_CHECK(sizes.size() == 4 || sizes.size() == 5,
              "required rank 4 or 5 tensor to use channels_last format, got ", sizes.size(), " dimensions");
  Dims r(sizes.size(), 1);
  int64_t step = std::max<int64_t>(sizes[1], 1);
  for (int i = sizes.ssize() - 1; i >= 2; i--) {
    r[i] = step;
    step *= std::max<int64_t>(sizes[i], 1);
  }
  r[0] = step;
  return r;
}

bool is_contiguous(const Dims& sizes, const Dims& strides) {
  int64_t z = 1;
  for (int i = sizes.ssize() - 1; i >= 0; i--) {
    if (sizes[i] == 0) return true;
    if (sizes[i] != 1) {
      if (strides[i] != z) return false;
      z *= sizes[i];
    }
  }
  return true;
}

bool is_channels_last(const Dims& sizes, const Dims& strides) {
  if (sizes.size() != 4 && sizes.size() != 5) return false;
  int64_t z = 1;
  auto ok = [&](size_t d) {
    if (sizes[d] != 1) {
      if (strides[d] != z) return false;
      z *= sizes[d];
    }
    return true;
  };
  for (int64_t s : sizes)
    if (s == 0) return true;
  if (!ok(1)) return false;
  for (int i = sizes.ssize() - 1; i >= 2; i--)
    if (!ok(i)) return false;
  return ok(0);
}

bool is_non_overlapping_and_dense(const Dims& sizes, const Dims& strides) {
  Dims order(sizes.size(), 0);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    if (sizes[a] < 2 || sizes[b] < 2) return sizes[b] < 2 && sizes[a] >= 2;
    return strides[a] < strides[b];
  });
  int64_t expect = 1;
  for (int64_t d : order) {
    if (sizes[d] == 0) return true;
    if (sizes[d] < 2) continue;
    if (strides[d] != expect) return false;
    expect *= sizes[d];
  }
  return true;
}

bool has_internal_overlap(const Dims& sizes, const Dims& strides) {
  for (size_t i = 0; i < sizes.size(); i++)
    if (strides[i] == 0 && sizes[i] > 1) return true;
  return false;
}

int64_t wrap_dim(int64_t dim, int64_t n, bool wrap_scalar) {
  if (n == 0) {
    NNLIB_CHECK_INDEX(wrap_scalar, "Dimension specified as ", dim, " but tensor has no dimensions");
    n = 1;
  }
  NNLIB_CHECK_INDEX(dim >= -n && dim < n, "Dimension out of range (expected to be in range of [", -n, ", ",
                    n - 1, "], but got ", dim, ")");
  return dim < 0 ? dim + n : dim;
}

Dims wrap_dims(const Dims& dims, int64_t n) {
  Dims r(dims);
  for (size_t i = 0; i < r.size(); i++) {
    r[i] = wrap_dim(r[i], n);
    for (size_t j = 0; j < i; j++)
      NNLIB_CHECK(r[j] != r[i], "dim ", r[i], " appears multiple times in the list of dims");
  }
  return r;
}

Dims broadcast_shapes(const Dims& a, const Dims& b) {
  size_t n = std::max(a.size(), b.size());
  Dims r(n, 1);
  for (size_t k = 0; k < n; k++) {
    int64_t x = k < a.size() ? a[a.size() - 1 - k] : 1, y = k < b.size() ? b[b.size() - 1 - k] : 1;
    NNLIB_CHECK(x == y || x == 1 || y == 1, "The size of tensor a (", x,
                ") must match the size of tensor b (", y, ") at non-singleton dimension ", n - 1 - k);
    r[n - 1 - k] = x == 1 ? y : x;
  }
  return r;
}

bool is_expandable_to(const Dims& from, const Dims& to) {
  if (from.size() > to.size()) return false;
  for (size_t k = 0; k < from.size(); k++) {
    int64_t x = from[from.size() - 1 - k], y = to[to.size() - 1 - k];
    if (x != y && x != 1) return false;
  }
  return true;
}

Dims infer_size(const Dims& shape, int64_t numel) {
  Dims r(shape);
  int64_t known = 1, at = -1;
  for (size_t i = 0; i < r.size(); i++) {
    if (r[i] == -1) {
      NNLIB_CHECK(at < 0, "only one dimension can be inferred");
      at = (int64_t)i;
    } else {
      NNLIB_CHECK(r[i] >= 0, "invalid shape dimension ", r[i], " at index ", i, " of shape ", shape);
      NNLIB_CHECK(!__builtin_mul_overflow(known, r[i], &known), "shape '", shape, "' is too large");
    }
  }
  if (at >= 0 && known > 0 && numel % known == 0) {
    r[at] = numel / known;
    return r;
  }
  NNLIB_CHECK(!(at >= 0 && known == 0 && numel == 0), "cannot reshape tensor of 0 elements into shape ",
              shape, " because the unspecified dimension size -1 can be any value and is ambiguous");
  NNLIB_CHECK(at < 0 && known == numel, "shape '", shape, "' is invalid for input of size ", numel);
  return r;
}

bool view_strides(const Dims& sizes, const Dims& strides, const Dims& new_sizes, Dims* out) {
  *out = Dims(new_sizes.size(), 1);
  for (int64_t s : sizes)
    if (s == 0) {
      *out = sizes == new_sizes ? strides : contiguous_strides(new_sizes);
      return true;
    }
  int view_d = new_sizes.ssize() - 1;
  // Walk chunks of old dimensions that are contiguous among themselves, from the last.
  int64_t base = strides.empty() ? 1 : strides.back(), old_count = 1, view_count = 1;
  for (int d = sizes.ssize() - 1; d >= 0; d--) {
    old_count *= sizes[d];
    if (d == 0 || (sizes[d - 1] != 1 && strides[d - 1] != old_count * base)) {
      while (view_d >= 0 && (view_count < old_count || new_sizes[view_d] == 1)) {
        (*out)[view_d] = view_count * base;
        view_count *= new_sizes[view_d];
        view_d--;
      }
      if (view_count != old_count) return false;
      if (d > 0) {
        base = strides[d - 1];
        old_count = view_count = 1;
      }
    }
  }
  if (sizes.empty()) return true;
  return view_d == -1;
}

}  // namespace nnlib
