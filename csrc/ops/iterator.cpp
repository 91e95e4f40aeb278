#include "ops/iterator.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/bytes.h"
#include "core/fill.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "kernels/dispatch.h"

namespace nnlib::ops {

// ---- types

namespace {

struct Promotion {
  int dim = -1, zero = -1, wrapped = -1;  // a Dtype, or -1 for none
  static void join(int& into, Dtype d) { into = into < 0 ? (int)d : (int)promote((Dtype)into, d); }
  void add(const Tensor& t) {
    if (!t.defined()) return;
    if (t.is_wrapped_number())
      join(wrapped, is_floating(t.dtype()) ? default_dtype() : t.dtype());
    else
      join(t.dim() > 0 ? dim : zero, t.dtype());
  }
  static int combine(int higher, int lower) {
    if (higher < 0) return lower;
    if (lower < 0 || is_floating((Dtype)higher)) return higher;
    if ((Dtype)higher == Dtype::Bool || is_floating((Dtype)lower))
      return (int)promote((Dtype)higher, (Dtype)lower);
    return higher;
  }
  Dtype result() const { return (Dtype)combine(dim, combine(zero, wrapped)); }
};

}  // namespace

Dtype result_type(const Tensor& a) {
  Promotion p;
  p.add(a);
  return p.result();
}
Dtype result_type(const Tensor& a, const Tensor& b) {
  if (a.dtype() == b.dtype() && !a.is_wrapped_number() && !b.is_wrapped_number()) return a.dtype();
  Promotion p;
  p.add(a);
  p.add(b);
  return p.result();
}
Dtype result_type(const Tensor& a, const Tensor& b, const Tensor& c) {
  return result_type(TensorList{a, b, c});
}
Dtype result_type(const TensorList& tensors) {
  Promotion p;
  for (const Tensor& t : tensors) p.add(t);
  return p.result();
}

Dtype to_floating(Dtype d) { return is_floating(d) ? d : default_dtype(); }
Dtype compute_dtype(Dtype d) {
  if (d == Dtype::Float64) return d;
  return is_floating(d) ? Dtype::Float32 : Dtype::Int64;
}

bool single_value_fits(const Tensor& t, Dtype d) {
  if (t.numel() != 1 || is_floating(t.dtype())) return false;
  return cast_values(t, d).item().to_int() == t.item().to_int();
}

// ---- outputs

Dims broadcast_sizes(const TensorList& inputs) {
  Dims d;
  bool first = true;
  for (const Tensor& t : inputs) {
    if (!t.defined()) continue;
    if (first)
      d = t.sizes();
    else if (t.sizes() != d)
      d = broadcast_shapes(d, t.sizes());
    first = false;
  }
  return d;
}

namespace {

// Strides in the order of `like`, without the gaps that a view may have.
Dims packed_strides(const Dims& sizes, const Dims& like) {
  std::vector<int> order;
  for (int d = sizes.ssize() - 1; d >= 0; d--) order.push_back(d);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return like[a] < like[b]; });
  Dims strides(sizes.size(), 1);
  int64_t step = 1;
  for (int d : order) {
    strides[d] = step;
    step *= sizes[d];
  }
  return strides;
}

}  // namespace

Tensor make_output(const Dims& sizes, Dtype dtype, std::initializer_list<const Tensor*> inputs) {
  for (const Tensor* t : inputs) {
    if (!t->defined() || t->sizes() != sizes) continue;
    if (t->is_contiguous()) break;
    if (is_non_overlapping_and_dense(sizes, t->strides())) return empty_like(*t, dtype);
    // A view with gaps, of a turned tensor too: the results lie in its order.
    if (!t->is_sparse() && !has_internal_overlap(sizes, t->strides()))
      return empty_strided(sizes, packed_strides(sizes, t->strides()), dtype);
  }
  return empty(sizes, dtype);
}

void check_no_partial_overlap(const Tensor& out, const Tensor& in) {
  if (out.storage() != in.storage() || out.is_same(in) || out.numel() == 0 || in.numel() == 0) return;
  if (!is_non_overlapping_and_dense(out.sizes(), out.strides()) ||
      !is_non_overlapping_and_dense(in.sizes(), in.strides()))
    return;
  const char *a = (const char*)out.raw(), *b = (const char*)in.raw();
  const char *ae = a + out.nbytes(), *be = b + in.nbytes();
  if (a == b && ae == be && out.strides() == in.strides()) return;
  NNLIB_CHECK(
      ae <= b || be <= a,
      "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
      "memory location. Please clone() the tensor before performing the operation.");
}

// ---- conversion of rows

namespace {

template <class D, class S>
inline D convert(S v) {
  using CS = compute_t<S>;
  if constexpr (std::is_same_v<D, S>)
    return v;
  else if constexpr (std::is_same_v<D, bool>)
    return (CS)v != 0;
  else if constexpr (std::is_integral_v<D> && std::is_floating_point_v<CS>)
    return (D)(int64_t)(CS)v;  // through int64, so that the small types wrap as they do in PyTorch
  else
    return (D)(compute_t<D>)(CS)v;
}

template <class S, class C>
void load_typed(int64_t n, const char* src, int64_t stride, void* dst) {
  C* out = (C*)dst;
  if (stride == (int64_t)sizeof(S)) {
    if constexpr (std::is_same_v<S, C>)
      std::memcpy(out, src, (size_t)n * sizeof(S));
    else
      kernels::table().convert((int64_t)DtypeOf<S>::value, (int64_t)DtypeOf<C>::value, n, src, out);
  } else if (stride == 0) {
    // As bits, which the compiler stores by vectors whatever the type is.
    using Bits = std::conditional_t<
        sizeof(C) == 1, uint8_t,
        std::conditional_t<sizeof(C) == 2, uint16_t, std::conditional_t<sizeof(C) == 4, uint32_t, uint64_t>>>;
    const C value = convert<C>(*(const S*)src);
    Bits bits;
    std::memcpy(&bits, &value, sizeof bits);
    fill_run((Bits*)dst, n, bits);
  } else if constexpr (std::is_same_v<S, C>) {
    copy_apart(sizeof(S), n, src, stride / (int64_t)sizeof(S), dst);
  } else {
    constexpr int64_t kSome = 256;
    for (int64_t i = 0; i < n; i += kSome) {
      alignas(64) char together[kSome * sizeof(S)];
      const int64_t m = std::min(kSome, n - i);
      copy_apart(sizeof(S), m, src + i * stride, stride / (int64_t)sizeof(S), together);
      kernels::table().convert((int64_t)DtypeOf<S>::value, (int64_t)DtypeOf<C>::value, m, together, out + i);
    }
  }
}

template <class C, class D>
void store_typed(int64_t n, const void* src, char* dst, int64_t stride) {
  const C* in = (const C*)src;
  if (stride == (int64_t)sizeof(D)) {
    if constexpr (std::is_same_v<C, D>)
      std::memcpy(dst, src, (size_t)n * sizeof(D));
    else
      kernels::table().convert((int64_t)DtypeOf<C>::value, (int64_t)DtypeOf<D>::value, n, in, dst);
  } else {
    for (int64_t i = 0; i < n; i++) *(D*)(dst + i * stride) = convert<D>(in[i]);
  }
}

template <class F>
auto with_compute(Dtype d, F&& f) {
  switch (d) {
    case Dtype::Float32:
      return f(TypeTag<float>{});
    case Dtype::Float64:
      return f(TypeTag<double>{});
    case Dtype::Int64:
      return f(TypeTag<int64_t>{});
    case Dtype::Bool:
      return f(TypeTag<bool>{});
    default:
      throw_message<Error>("rows are computed in float32, float64, int64 or bool, not in ", dtype_name(d));
  }
}

}  // namespace

LoadRow load_row(Dtype from, Dtype compute) {
  if (from == compute)
    return dispatch_all(from, [&](auto s) -> LoadRow {
      return load_typed<typename decltype(s)::type, typename decltype(s)::type>;
    });
  return with_compute(compute, [&](auto c) -> LoadRow {
    return dispatch_all(from, [&](auto s) -> LoadRow {
      return load_typed<typename decltype(s)::type, typename decltype(c)::type>;
    });
  });
}
StoreRow store_row(Dtype compute, Dtype to) {
  if (compute == to)
    return dispatch_all(to, [&](auto d) -> StoreRow {
      return store_typed<typename decltype(d)::type, typename decltype(d)::type>;
    });
  return with_compute(compute, [&](auto c) -> StoreRow {
    return dispatch_all(to, [&](auto d) -> StoreRow {
      return store_typed<typename decltype(c)::type, typename decltype(d)::type>;
    });
  });
}

void Cursor::seek(int64_t position) {
  for (int i = sizes->ssize() - 1; i >= 0; i--) {
    index[(size_t)i] = position % (*sizes)[(size_t)i];
    position /= (*sizes)[(size_t)i];
  }
}
void Cursor::advance(int64_t by) {
  int i = sizes->ssize() - 1;
  index[(size_t)i] += by;
  while (i > 0 && index[(size_t)i] == (*sizes)[(size_t)i]) {
    index[(size_t)i] = 0;
    index[(size_t)--i]++;
  }
}

// ---- the loop

namespace {

constexpr int kMaxOperands = 6;   // out first
constexpr int64_t kBlock = 1024;  // values brought into a buffer at a time
constexpr int64_t kSpread =
    256;  // the same where one value is spread along a row, and used for the whole row, of 4 bytes and more
constexpr int64_t kLongRow = 48;  // inner rows from here on are worked on where they lie

struct Arg {
  char* base;
  Dims strides;  // bytes, per loop dimension
  int64_t inner = 0;
  int64_t item = 0, compute_item = 0;
  bool same = false;      // lies in its compute type
  bool flat = false;      // the whole loop walks it contiguously
  bool constant = false;  // one value for all
  bool periodic = false;  // the same short row again and again
  LoadRow load = nullptr;
  StoreRow store = nullptr;
};

struct Plan {
  int n = 0;
  Dims sizes;
  Arg args[kMaxOperands];
  int64_t numel = 0;
  int64_t block = 0;  // values at a time, 0 for any number: no operand needs a buffer
};

// Strides of t over the dimensions of `sizes`, 0 where it is broadcast.
void broadcast_strides(const Tensor& t, const Dims& sizes, Dims& out) {
  const int lead = sizes.ssize() - t.sizes().ssize();
  out = Dims(sizes.size(), 0);
  for (int i = 0; i < t.sizes().ssize(); i++) {
    const int64_t s = t.sizes()[(size_t)i];
    NNLIB_CHECK(s == sizes[(size_t)(i + lead)] || s == 1, "The size of tensor a (", sizes[(size_t)(i + lead)],
                ") must match the size of tensor b (", s, ") at non-singleton dimension ", i + lead);
    if (s != 1) out[(size_t)(i + lead)] = t.strides()[(size_t)i] * (int64_t)t.itemsize();
  }
}

// Orders the dimensions by the output's memory and merges those that every operand walks as one.
void coalesce(Plan& p, const Dims& sizes) {
  std::vector<int> order;
  for (int i = 0; i < sizes.ssize(); i++)
    if (sizes[(size_t)i] != 1) order.push_back(i);
  const Dims& os = p.args[0].strides;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return os[(size_t)a] > os[(size_t)b]; });
  Dims merged[kMaxOperands];
  for (int d : order) {
    const int64_t size = sizes[(size_t)d];
    bool join = !p.sizes.empty();
    for (int k = 0; k < p.n && join; k++) join = merged[k].back() == p.args[k].strides[(size_t)d] * size;
    if (join) {
      p.sizes.back() *= size;
      for (int k = 0; k < p.n; k++) merged[k].back() = p.args[k].strides[(size_t)d];
    } else {
      p.sizes.push_back(size);
      for (int k = 0; k < p.n; k++) merged[k].push_back(p.args[k].strides[(size_t)d]);
    }
  }
  if (p.sizes.empty()) {
    p.sizes.push_back(1);
    for (int k = 0; k < p.n; k++) merged[k].push_back(0);
  }
  for (int k = 0; k < p.n; k++) p.args[k].strides = std::move(merged[k]);
}

// n values of 4 bytes in the order of the loop, where rows are short: what a conversion a row would cost.
void gather_words(const Arg& a, const Dims& sizes, Cursor c, int64_t n, uint32_t* to) {
  const int64_t width = sizes.back(), inner = a.inner,
                outer = sizes.size() > 1 ? a.strides[sizes.size() - 2] : 0;
  const auto piece = [&](const char* src, int64_t m) {
    if (inner == 0) {
      const uint32_t v = *(const uint32_t*)src;
      for (int64_t i = 0; i < m; i++) to[i] = v;
    } else if (inner == 4) {
      for (int64_t i = 0; i < m; i++) to[i] = ((const uint32_t*)src)[i];
    } else {
      for (int64_t i = 0; i < m; i++) to[i] = *(const uint32_t*)(src + i * inner);
    }
    to += m;
  };
  while (n > 0) {
    const char* src = a.base + c.offset(a.strides);
    if (const int64_t rows = std::min(c.rows_left(), n / width); rows > 0) {
      for (int64_t r = 0; r < rows; r++) piece(src + r * outer, width);
      c.advance_rows(rows);
      n -= rows * width;
    } else {
      const int64_t m = std::min(n, c.left());
      piece(src, m);
      c.advance(m);
      n -= m;
    }
  }
}

// A row of n values again and again, so that `count` values follow each of it.
void load_periods(const Arg& a, int64_t n, int64_t count, char* to) {
  a.load(n, a.base, a.inner, to);
  const int64_t row = n * a.compute_item, all = (n + count) * a.compute_item;
  for (int64_t done = row; done < all; done += std::min(done, all - done))
    std::memcpy(to + done, to, (size_t)std::min(done, all - done));
}

void run(const Plan& p, int64_t begin, int64_t end, const Row& row) {
  alignas(64) char buffers[kMaxOperands][(kBlock + kLongRow) * 8];
  const void* in[kMaxOperands];
  const char* spread[kMaxOperands] = {};
  int64_t spread_n[kMaxOperands] = {};
  Cursor cursor(p.sizes);
  cursor.seek(begin);
  const bool by_rows = p.sizes.back() >= kLongRow;
  for (int k = 1; k < p.n; k++)
    if (p.args[k].constant)
      p.args[k].load(std::min(kBlock, end - begin), p.args[k].base, 0, buffers[k]);
    else if (p.args[k].periodic)
      load_periods(p.args[k], p.sizes.back(), std::min(kBlock, end - begin), buffers[k]);
  for (int64_t at = begin; at < end;) {
    int64_t n = std::min(p.block ? p.block : end - begin, end - at);
    if (by_rows) n = std::min(n, cursor.left());
    // Pieces of inner rows that the block covers, for one operand after the other.
    auto gather = [&](const Arg& a, auto&& piece) {
      Cursor c = cursor;
      for (int64_t done = 0; done < n;) {
        const int64_t m = std::min(n - done, c.left());
        piece(a.base + c.offset(a.strides), done, m);
        c.advance(m);
        done += m;
      }
    };
    for (int k = 1; k < p.n; k++) {
      const Arg& a = p.args[k];
      if (a.constant) {
        in[k - 1] = buffers[k];
      } else if (a.periodic) {
        in[k - 1] = buffers[k] + at % p.sizes.back() * a.compute_item;
      } else if (a.same && a.flat) {
        in[k - 1] = a.base + at * a.item;
      } else if (a.same && by_rows && a.inner == a.item) {
        in[k - 1] = a.base + cursor.offset(a.strides);
      } else if (a.flat) {
        a.load(n, a.base + at * a.item, a.item, buffers[k]);
        in[k - 1] = buffers[k];
      } else if (by_rows) {
        // A value that is the same along the row is spread out once for the pieces of that row.
        const char* src = a.base + cursor.offset(a.strides);
        if (a.inner != 0 || src != spread[k] || n > spread_n[k]) {
          a.load(n, src, a.inner, buffers[k]);
          spread[k] = src;
          spread_n[k] = n;
        }
        in[k - 1] = buffers[k];
      } else if (a.same && a.item == 4) {
        gather_words(a, p.sizes, cursor, n, (uint32_t*)buffers[k]);
        in[k - 1] = buffers[k];
      } else {
        gather(a, [&](const char* src, int64_t done, int64_t m) {
          a.load(m, src, a.inner, buffers[k] + done * a.compute_item);
        });
        in[k - 1] = buffers[k];
      }
    }
    const Arg& o = p.args[0];
    if (o.same && o.flat) {
      row(n, in, o.base + at * o.item);
    } else if (o.same && by_rows && o.inner == o.item) {
      row(n, in, o.base + cursor.offset(o.strides));
    } else {
      row(n, in, buffers[0]);
      gather(o, [&](char* dst, int64_t done, int64_t m) {
        o.store(m, buffers[0] + done * o.compute_item, dst, o.inner);
      });
    }
    at += n;
    if (by_rows) {
      cursor.advance(n);
    } else if (at < end) {
      cursor.seek(at);
    }
  }
}

constexpr int64_t kWorthTurning = 4096;

// An operand whose inner stride in out's order is long while another dimension of it lies together: a column
// at a time would fetch each of its cache lines once for every value.
bool is_turned(const Tensor& out, const Tensor& t) {
  const Dims &sizes = out.sizes(), &strides = t.strides();
  if (t.sizes() != sizes || t.numel() < kWorthTurning || strides == out.strides() || t.is_sparse())
    return false;
  int inner = -1;
  for (int d = 0; d < sizes.ssize(); d++)
    if (sizes[d] > 1 && (inner < 0 || out.strides()[d] <= out.strides()[inner])) inner = d;
  if (strides[inner] == 1 || strides[inner] == 0) return false;
  for (int d = 0; d < sizes.ssize(); d++)
    if (sizes[d] > 3 && strides[d] == 1) return sizes[inner] > 3;
  return false;
}

// Every operand lies contiguously in its compute type and has out's sizes: there is nothing to plan.
bool run_flat(const Tensor& out, Dtype out_compute, std::initializer_list<Operand> inputs, Row row,
              int64_t grain) {
  const auto flat = [&](const Tensor& t, Dtype compute) {
    return t.dtype() == compute && t.is_contiguous() && t.sizes() == out.sizes();
  };
  if (!flat(out, out_compute) || out.numel() == 0) return false;
  const char* base[kMaxOperands];
  int64_t item[kMaxOperands];
  int n = 0;
  for (const Operand& o : inputs) {
    if (!flat(*o.tensor, o.compute)) return false;
    base[n] = (const char*)o.tensor->raw();
    item[n++] = (int64_t)o.tensor->itemsize();
  }
  char* to = (char*)out.raw();
  const int64_t to_item = (int64_t)out.itemsize();
  parallel_for(0, out.numel(), grain, [&](int64_t b, int64_t e) {
    const void* in[kMaxOperands];
    for (int k = 0; k < n; k++) in[k] = base[k] + b * item[k];
    row(e - b, in, to + b * to_item);
  });
  return true;
}

// out and inputs as a plan; false where there is nothing to compute.
bool make_plan(Plan& p, const Tensor& out, Dtype out_compute, const Operand* inputs, int count) {
  for (int i = 0; i < count; i++)
    NNLIB_CHECK_AS(
        NotImplementedError, !inputs[i].tensor->is_sparse(),
        "expected a dense tensor but got a sparse one, which this operator does not take; to_dense() gives "
        "a dense one");
  p.numel = out.numel();
  if (p.numel == 0) {
    Dims unused;
    for (int i = 0; i < count; i++) broadcast_strides(*inputs[i].tensor, out.sizes(), unused);
    return false;
  }
  p.n = count + 1;
  bool simple = is_non_overlapping_and_dense(out.sizes(), out.strides());
  auto fill = [&](int k, const Tensor& t, Dtype compute) {
    Arg& a = p.args[k];
    a.base = (char*)t.raw();
    a.item = (int64_t)t.itemsize();
    a.compute_item = (int64_t)itemsize(compute);
    a.same = t.dtype() == compute;
    a.constant = k > 0 && t.numel() == 1 && p.numel != 1;
    simple = simple &&
             (a.constant || (t.sizes() == out.sizes() &&
                             (t.strides() == out.strides() || (t.is_contiguous() && out.is_contiguous()))));
    if (k == 0) {
      if (!a.same) a.store = store_row(compute, t.dtype());
    } else {
      a.load = load_row(t.dtype(), compute);
    }
  };
  fill(0, out, out_compute);
  for (int i = 0; i < count; i++) fill(i + 1, *inputs[i].tensor, inputs[i].compute);
  if (simple) {
    p.sizes.push_back(p.numel);
    for (int i = 0; i < p.n; i++) p.args[i].strides.push_back(p.args[i].constant ? 0 : p.args[i].item);
  } else {
    broadcast_strides(out, out.sizes(), p.args[0].strides);
    for (int i = 0; i < count; i++) broadcast_strides(*inputs[i].tensor, out.sizes(), p.args[i + 1].strides);
    coalesce(p, out.sizes());
  }
  for (int i = 0; i < p.n; i++) p.args[i].inner = p.args[i].strides.back();
  return true;
}

void run_rows(const Tensor& out, Dtype out_compute, const Operand* inputs, int count, Row row,
              int64_t grain) {
  Plan p;
  if (!make_plan(p, out, out_compute, inputs, count)) return;
  const bool by_rows = p.sizes.back() >= kLongRow;
  bool spreads = false, others = false;
  int64_t item = 1;
  for (int i = 0; i < p.n; i++) {
    Arg& a = p.args[i];
    a.flat = !a.constant && p.sizes.size() == 1 && (a.inner == a.item || p.numel == 1);
    if (!a.flat && !a.constant) {
      a.flat = true;
      int64_t expected = a.item;
      for (int d = p.sizes.ssize() - 1; d >= 0 && a.flat; d--) {
        a.flat = a.strides[(size_t)d] == expected;
        expected *= p.sizes[(size_t)d];
      }
    }
    a.periodic = i > 0 && !by_rows && !a.constant && p.sizes.size() == 2 && a.strides[0] == 0;
    const bool spread = i > 0 && by_rows && a.inner == 0 && !a.constant;
    if (!a.same || a.constant || !(a.flat || (by_rows && a.inner == a.item))) {
      others |= !spread && !a.constant;
      p.block = kBlock;
    }
    spreads |= spread;
    item = std::max(item, a.compute_item);
    if (i == 0 && !a.store) a.store = store_row(out_compute, out.dtype());
  }
  if (spreads && !others) p.block = std::max(kSpread, 4 * kSpread / item);
  parallel_for(0, p.numel, grain, [&](int64_t b, int64_t e) { run(p, b, e, row); });
}

// New memory in the order of out's dimensions, without the gaps that a view may have.
Tensor packed_like(const Tensor& out, Dtype dtype) {
  return empty_strided(out.sizes(), packed_strides(out.sizes(), out.strides()), dtype);
}

// Operands that lie turned in relation to out are replaced by copies in its layout.
struct Straightened {
  Operand operands[kMaxOperands];
  Tensor copies[kMaxOperands];
  int count = 0;
  Straightened(const Tensor& out, const Operand* inputs, int n) {
    for (; count < n; count++) {
      operands[count] = inputs[count];
      if (!is_turned(out, *inputs[count].tensor)) continue;
      copies[count] = packed_like(out, inputs[count].tensor->dtype());
      copy_values(copies[count], *inputs[count].tensor);
      operands[count].tensor = &copies[count];
    }
  }
};

// Along dimensions in which no operand changes results are computed once and repeated. False, and nothing
// done, where there are none.
bool run_repeated(const Tensor& out, Dtype out_compute, std::initializer_list<Operand> inputs, Row row,
                  int64_t grain) {
  constexpr int64_t kWorthRepeating = 4096;
  if (out.numel() < kWorthRepeating) return false;
  Dims sizes = out.sizes();
  bool found = false;
  for (int64_t d = 0; d < out.dim(); d++) {
    bool still = sizes[(size_t)d] > 1;
    for (const Operand& o : inputs) {
      const int64_t own = d - (out.dim() - o.tensor->dim());
      still = still && !o.tensor->is_sparse() &&
              (own < 0 || o.tensor->size(own) == 1 || o.tensor->stride(own) == 0);
    }
    if (still) sizes[(size_t)d] = 1;
    found |= still;
  }
  if (!found) return false;
  Operand operands[kMaxOperands];
  Tensor once[kMaxOperands];
  int n = 0;
  for (const Operand& o : inputs) {
    Dims own = o.tensor->sizes();
    const int64_t lead = out.dim() - o.tensor->dim();
    for (size_t i = 0; i < own.size(); i++)
      if (sizes[i + (size_t)lead] == 1) own[i] = 1;
    once[n] = alias(*o.tensor, own, o.tensor->strides(), o.tensor->storage_offset());
    operands[n] = {&once[n], o.compute};
    n++;
  }
  const Tensor results = empty(sizes, out.dtype());
  run_rows(results, out_compute, operands, n, row, grain);
  Dims strides = results.strides();
  for (size_t d = 0; d < sizes.size(); d++)
    if (sizes[d] == 1) strides[d] = 0;
  copy_values(out, alias(results, out.sizes(), strides, results.storage_offset()));
  return true;
}

// Rows of a few values, one after the other, beside an operand that is the same in each of them (a bias of
// three channels, say): some rows together are one long row, and copies of that operand are its partner.
struct ShortRows {
  int64_t times = 0;  // rows that go together; 0 where nothing is gained or they do not lie so
  const char* from(const Plan& p, int k, const char* base) const {
    return p.args[k].strides[0] == 0 && !p.args[k].constant ? copies : base;
  }
  explicit ShortRows(const Plan& p) {
    constexpr int64_t kShort = 32;
    const int64_t n = p.sizes.back();
    if (p.sizes.size() != 2 || n < 2 || n > kShort) return;
    int repeated = 0;
    for (int k = 0; k < 3; k++) {
      const Arg& a = p.args[k];
      if (a.constant) continue;
      if (a.inner != a.item || (a.strides[0] != n * a.item && a.strides[0] != 0)) return;
      if (a.strides[0] == 0) repeated = repeated ? -1 : k;
    }
    if (repeated <= 0) return;
    times = std::min(p.sizes[0], kSpread / n);
    const int64_t row = n * p.args[repeated].item;
    for (int64_t t = 0; t < times; t++) std::memcpy(copies + t * row, p.args[repeated].base, (size_t)row);
  }

 private:
  alignas(64) char copies[kSpread * 8];
};

}  // namespace

void for_each_row(const Tensor& out, Dtype out_compute, std::initializer_list<Operand> inputs, Row row,
                  int64_t grain) {
  NNLIB_CHECK(inputs.size() < kMaxOperands, "at most ", kMaxOperands, " operands, got ", inputs.size() + 1);
  if (run_flat(out, out_compute, inputs, row, grain)) return;
  if (run_repeated(out, out_compute, inputs, row, grain)) return;
  bool turned = false;
  for (const Operand& o : inputs) turned |= is_turned(out, *o.tensor);
  if (!turned) return run_rows(out, out_compute, inputs.begin(), (int)inputs.size(), row, grain);
  const Straightened s(out, inputs.begin(), (int)inputs.size());
  run_rows(out, out_compute, s.operands, s.count, row, grain);
}

bool for_each_rows2(const Tensor& out, const Tensor& a, const Tensor& b, Dtype type,
                    FunctionRef<std::remove_pointer_t<Rows2>> kernel, int64_t grain) {
  const Dtype compute = compute_dtype(type);
  const auto fits = [&](const Tensor& t) {
    return t.dtype() == type ||
           (t.numel() == 1 && (type == compute || is_floating(type) || single_value_fits(t, type)));
  };
  if (!fits(a) || !fits(b)) return false;
  if (run_flat(
          out, out.dtype(), {{&a, type}, {&b, type}},
          [&](int64_t n, const void* const* in, void* o) { kernel(1, n, in[0], n, 1, in[1], n, 1, o, n); },
          grain))
    return true;
  const Operand inputs[] = {{&a, compute}, {&b, compute}};
  if (is_turned(out, a) || is_turned(out, b)) {
    const Straightened s(out, inputs, 2);
    return for_each_rows2(out, *s.operands[0].tensor, *s.operands[1].tensor, type, kernel, grain);
  }
  Plan p;
  if (!make_plan(p, out, out.dtype() == type ? compute : out.dtype(), inputs, 2)) return true;
  const int64_t item = p.args[0].item, n = p.sizes.back(), rows = p.numel / n;
  if (p.args[0].inner != item && n != 1) return false;
  if ((a.dtype() != type && !p.args[1].constant) || (b.dtype() != type && !p.args[2].constant)) return false;
  // Long rows are cut, short ones go together along the dimension outside of them.
  const int64_t piece = n >= 2 * grain ? grain : n, pieces = (n + piece - 1) / piece;
  Dims outer(p.sizes.data(), p.sizes.size() - 1);
  if (outer.empty()) outer.push_back(1);
  const size_t d = outer.size() - 1;
  const bool flat = p.sizes.size() == 1;
  const ShortRows together(p);
  parallel_for(0, rows * pieces, std::max<int64_t>(1, grain / piece), [&](int64_t begin, int64_t end) {
    Cursor c(outer);
    c.seek(begin / pieces);
    for (int64_t t = begin; t < end;) {
      const int64_t from = t % pieces * piece, m = std::min(piece, n - from);
      const int64_t count = pieces > 1 ? 1 : std::min(end - t, c.left());
      const char* base[3];
      int64_t row[3], step[3];
      double one[3];
      for (int k = 0; k < 3; k++) {
        const Arg& x = p.args[k];
        base[k] = x.base + (flat ? 0 : c.offset(x.strides)) + from * x.inner;
        row[k] = flat || x.constant ? 0 : x.strides[d] / x.item;
        step[k] = x.constant ? 0 : x.inner / x.item;
        if (k > 0 && row[k] == 0 && step[k] == 0) {
          x.load(1, base[k], 0, &one[k]);
          base[k] = (const char*)&one[k];
        }
      }
      const int64_t several = together.times ? count / together.times : 0;
      if (several > 0) {
        const int64_t k = together.times;
        kernel(several, k * n, together.from(p, 1, base[1]), row[1] * k, step[1],
               together.from(p, 2, base[2]), row[2] * k, step[2], (char*)base[0], row[0] * k);
        for (int i = 0; i < 3; i++)
          if (!p.args[i].constant) base[i] += several * k * row[i] * p.args[i].item;
      }
      if (const int64_t rest = several > 0 ? count % together.times : count; rest > 0)
        kernel(rest, m, base[1], row[1], step[1], base[2], row[2], step[2], (char*)base[0], row[0]);
      t += count;
      if (pieces == 1)
        c.advance(count);
      else if (t % pieces == 0)
        c.advance(1);
    }
  });
  return true;
}

}  // namespace nnlib::ops
