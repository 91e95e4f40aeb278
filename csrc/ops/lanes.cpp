#include "ops/lanes.h"

#include <algorithm>
#include <memory>

#include "core/parallel.h"

namespace nnlib::ops {

void for_each_lane(const std::vector<Lanes>& tensors, int64_t dim, FunctionRef<void(void* const* rows)> f,
                   int64_t cost) {
  struct Arg {
    char* base;
    Dims strides;  // of the other dimensions, bytes
    int64_t n, stride;
    int64_t item;
    bool direct;
    LoadRow load = nullptr;
    StoreRow store = nullptr;
  };
  const Tensor& first = *tensors[0].tensor;
  Dims outer;
  for (int64_t i = 0; i < first.dim(); i++)
    if (i != dim) outer.push_back(first.sizes()[(size_t)i]);
  outer.insert(0, 1);  // never empty
  int64_t lanes = 1;
  for (int64_t s : outer) lanes *= s;
  std::vector<Arg> args;
  int64_t longest = 1;
  for (const Lanes& l : tensors) {
    const Tensor& t = *l.tensor;
    Arg a;
    a.base = (char*)t.raw();
    a.item = (int64_t)t.itemsize();
    a.n = t.dim() ? t.sizes()[(size_t)dim] : 1;
    a.stride = t.dim() ? t.strides()[(size_t)dim] * a.item : a.item;
    a.strides.push_back(0);
    for (int64_t i = 0; i < t.dim(); i++)
      if (i != dim) a.strides.push_back(t.strides()[(size_t)i] * a.item);
    a.direct = t.dtype() == l.compute && (a.stride == a.item || a.n <= 1);
    a.load = load_row(t.dtype(), l.compute);
    if (l.write) a.store = store_row(l.compute, t.dtype());
    longest = std::max(longest, a.n);
    args.push_back(std::move(a));
  }
  if (lanes == 0) return;
  const size_t count = args.size();
  const int64_t grain = std::max<int64_t>(1, 16384 / (longest * cost));
  parallel_for(0, lanes, grain, [&](int64_t b, int64_t e) {
    std::vector<std::unique_ptr<char[]>> buffers(count);
    std::vector<void*> rows(count);
    for (size_t k = 0; k < count; k++)
      if (!args[k].direct) buffers[k].reset(new char[(size_t)std::max<int64_t>(1, args[k].n) * 8]);
    Cursor c(outer);
    c.seek(b);
    std::vector<char*> at(count);
    for (int64_t lane = b; lane < e;) {
      // Neighbouring lanes lie one step apart.
      const int64_t run = std::min(e - lane, c.left());
      for (size_t k = 0; k < count; k++) at[k] = args[k].base + c.offset(args[k].strides);
      for (int64_t i = 0; i < run; i++) {
        for (size_t k = 0; k < count; k++) {
          const Arg& a = args[k];
          rows[k] = a.direct ? at[k] : buffers[k].get();
          if (!a.direct && !a.store) a.load(a.n, at[k], a.stride, rows[k]);
        }
        f(rows.data());
        for (size_t k = 0; k < count; k++) {
          const Arg& a = args[k];
          if (a.store && !a.direct) a.store(a.n, rows[k], at[k], a.stride);
          at[k] += a.strides.back();
        }
      }
      c.advance(run);
      lane += run;
    }
  });
}

}  // namespace nnlib::ops
