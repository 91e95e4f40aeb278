#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "core/shape.h"
#include "ops/pool.h"
#include "ops/pool_lines.h"
#include "ops/pool_places.h"
#include "ops/pool_windows.h"

namespace nnlib::ops {

namespace {

// Indices are the caller's, or were given to the caller, who may have changed them.
inline void check_place(int64_t index, int64_t size) {
  NNLIB_CHECK(index >= 0 && index < size, "Found an invalid max index: ", index,
              " (output volumes are of size ", size, ")");
}

}  // namespace

namespace {

// x and indices have their channels last, and so gets the result.
template <class T>
void scatter_channels(const Tensor& x, const Tensor& indices, const Tensor& out, bool accumulate) {
  using C = compute_t<T>;
  constexpr bool kDirect = std::is_same_v<T, C>;
  constexpr int64_t kChannels = 32;  // of a task
  const LoadRow load = load_row(DtypeOf<T>::value, DtypeOf<C>::value);
  const StoreRow store = store_row(DtypeOf<C>::value, DtypeOf<T>::value);
  const int64_t samples = x.size(0), channels = x.size(1);
  const int64_t some = std::min(kChannels, channels), parts = (channels + some - 1) / some;
  const int64_t n = x.numel() / (samples * channels), m = out.numel() / (samples * channels);
  parallel_for(0, samples * parts, planes_per_chunk((n + m) * some), [&](int64_t first, int64_t end) {
    std::vector<C> wide(kDirect ? 0 : (size_t)(m * some));  // 16-bit floats are added up in float
    C values[kChannels];
    PlaceReader places(indices);
    for (int64_t t = first; t < end; t++) {
      const int64_t s = t / parts, c0 = t % parts * some, count = std::min(some, channels - c0);
      T* const plane = (T*)out.raw() + s * m * channels + c0;
      C* to;
      int64_t ld = channels;
      if constexpr (kDirect)
        to = plane;
      else
        to = wide.data(), ld = some;
      for (int64_t i = 0; i < m; i++) std::fill(to + i * ld, to + i * ld + count, C(0));
      for (int64_t i = 0; i < n; i++) {
        const int64_t row = (s * n + i) * channels + c0;
        const C* from;
        if constexpr (kDirect)
          from = (const T*)x.raw() + row;
        else
          load(count, (const char*)((const T*)x.raw() + row), sizeof(T), values), from = values;
        const int64_t* index = places.read(row, count);
        for (int64_t c = 0; c < count; c++) {
          check_place(index[c], m);
          C& at = to[index[c] * ld + c];
          at = accumulate ? at + from[c] : from[c];
        }
      }
      if constexpr (!kDirect)
        for (int64_t i = 0; i < m; i++) store(count, to + i * ld, (char*)(plane + i * channels), sizeof(T));
    }
  });
}

// `planes`: samples times channels, which tells (N, C, H, W) from (C, D, H, W).
bool channels_last(const Tensor& t, int64_t planes) {
  return t.dim() >= 4 && t.size(0) * t.size(1) == planes && !t.is_contiguous() &&
         is_channels_last(t.sizes(), t.strides());
}

}  // namespace

Tensor scatter_places(const Tensor& x, const Tensor& indices, const Dims& sizes, int64_t planes,
                      bool accumulate, const char* name) {
  if (is_floating(x.dtype()) && x.numel() > 0 && channels_last(x, planes) && channels_last(indices, planes)) {
    Tensor out = empty(sizes, x.dtype(), channels_format(x));
    dispatch_floating(x.dtype(), name, [&](auto tag) {
      scatter_channels<typename decltype(tag)::type>(x, indices, out, accumulate);
    });
    if (wants_grad(x)) {
      record(out, name, {x}, [indices, planes](Backward&, const TensorList& g) {
        return TensorList{gather_places(g[0], indices, planes, "PoolScatterBackward0")};
      });
    }
    return out;
  }
  const Tensor xv = contiguous_values(x), iv = contiguous_values(indices);
  Tensor out = empty(sizes, x.dtype());
  const int64_t n = planes ? x.numel() / planes : 0, m = planes ? out.numel() / planes : 0;
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = compute_t<T>;
    const T* from = xv.data<T>();
    T* to = out.data<T>();
    const LoadRow load = load_row(DtypeOf<T>::value, DtypeOf<C>::value);
    const StoreRow store = store_row(DtypeOf<C>::value, DtypeOf<T>::value);
    parallel_for(0, planes, planes_per_chunk(n + m), [&](int64_t first, int64_t end) {
      std::vector<C> sums, wide;  // 16-bit floats are added up in float
      PlaceReader places(iv);
      for (int64_t p = first; p < end; p++) {
        C* plane;
        if constexpr (std::is_same_v<T, C>) {
          plane = to + p * m;
        } else {
          sums.resize((size_t)m);
          plane = sums.data();
        }
        std::fill(plane, plane + m, C(0));
        const C* values;
        if constexpr (std::is_same_v<T, C>) {
          values = from + p * n;
        } else {
          wide.resize((size_t)n);
          load(n, (const char*)(from + p * n), (int64_t)sizeof(T), wide.data());
          values = wide.data();
        }
        const int64_t* index = places.read(p * n, n);
        for (int64_t i = 0; i < n; i++) {
          const int64_t at = index[i];
          check_place(at, m);
          plane[at] = accumulate ? (C)(plane[at] + values[i]) : values[i];
        }
        if constexpr (!std::is_same_v<T, C>) store(m, plane, (char*)(to + p * m), (int64_t)sizeof(T));
      }
    });
  });
  if (wants_grad(x)) {
    record(out, name, {x}, [indices, planes](Backward&, const TensorList& g) {
      return TensorList{gather_places(g[0], indices, planes, "PoolScatterBackward0")};
    });
  }
  return out;
}

Tensor gather_places(const Tensor& x, const Tensor& indices, int64_t planes, const char* name) {
  const Tensor xv = contiguous_values(x), iv = contiguous_values(indices);
  Tensor out = empty(indices.sizes(), x.dtype());
  const int64_t n = planes ? out.numel() / planes : 0, m = planes ? x.numel() / planes : 0;
  dispatch_all(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = xv.data<T>();
    T* to = out.data<T>();
    parallel_for(0, planes, planes_per_chunk(n), [&](int64_t first, int64_t end) {
      PlaceReader places(iv);
      for (int64_t p = first; p < end; p++) {
        const int64_t* index = places.read(p * n, n);
        for (int64_t i = 0; i < n; i++) {
          check_place(index[i], m);
          to[p * n + i] = from[p * m + index[i]];
        }
      }
    });
  });
  if (wants_grad(x)) {
    record(out, name, {x}, [indices, sizes = x.sizes(), planes](Backward&, const TensorList& g) {
      return TensorList{scatter_places(g[0], indices, sizes, planes, true, "PoolGatherBackward0")};
    });
  }
  return out;
}

namespace {

Tensor max_unpool(const Tensor& input, const Tensor& indices, const Dims& given, int dims, const char* name,
                  const char* node) {
  NNLIB_CHECK(indices.dtype() == Dtype::Int64, name,
              ": elements in indices should be type int64 but got: ", dtype_name(indices.dtype()));
  NNLIB_CHECK(given.ssize() == dims, name, ": output_size should have exactly ", dims, " elements, but got ",
              given.size());
  NNLIB_CHECK(input.dim() == dims + 1 || input.dim() == dims + 2, name, ": Input should be a ", dims + 1,
              "d or ", dims + 2, "d Tensor, but got a tensor of ", input.dim(), " dimensions");
  NNLIB_CHECK(input.sizes() == indices.sizes(), name,
              ": Expected shape of indices to be same as that of the input tensor (", input.sizes(),
              ") but got indices tensor with shape: ", indices.sizes());
  Dims sizes = input.sizes();
  int64_t planes = 1;
  for (int64_t i = 0; i < input.dim() - dims; i++) planes *= input.size(i);
  for (int i = 0; i < dims; i++) sizes[sizes.size() - (size_t)dims + (size_t)i] = given[i];
  count(sizes);
  return scatter_places(input, indices, sizes, planes, false, node);
}

}  // namespace

Tensor max_unpool2d(const Tensor& input, const Tensor& indices, const Dims& output_size) {
  return max_unpool(input, indices, output_size, 2, "max_unpool2d", "MaxUnpool2DBackward0");
}
Tensor max_unpool3d(const Tensor& input, const Tensor& indices, const Dims& output_size) {
  return max_unpool(input, indices, output_size, 3, "max_unpool3d", "MaxUnpool3DBackward0");
}

}  // namespace nnlib::ops
