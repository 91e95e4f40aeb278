// The loop of every reduction. An operator says how a row of values enters an accumulator, how two
// accumulators become one, and what is written at the end; layouts, types and threads are handled here.
#pragma once
#include <optional>
#include <vector>

#include "ops/iterator.h"

namespace nnlib::ops {

// What one output has gathered so far; each reduction uses the fields in its own way.
struct Acc {
  double f[3];
  int64_t i[2];
};

struct Reduction {
  Dtype compute;  // rows come in this type: Float32, Float64, Int64 or Bool
  Acc init;
  // n values, contiguous; `first` counts those of this output before them (in logical order where `ordered`).
  FunctionRef<void(Acc&, int64_t n, const void* x, int64_t first)> row;
  // `other` stands for values after those of the first.
  FunctionRef<void(Acc&, const Acc& other)> merge;
  bool ordered = false;
};

// The sizes and byte strides of a part of the dimensions, neighbours merged.
struct Part {
  Dims sizes, strides;
  int64_t count = 1;
  void add(int64_t size, int64_t stride) {
    count *= size;
    if (size == 1) return;
    if (!sizes.empty() && strides.back() == stride * size) {
      sizes.back() *= size;
      strides.back() = stride;
    } else {
      sizes.push_back(size);
      strides.push_back(stride);
    }
  }
  void close() {
    if (sizes.empty()) {
      sizes.push_back(1);
      strides.push_back(0);
    }
  }
};

// The dimensions that go, as a mask over self's; all where `dims` is absent or empty. Errors as PyTorch's.
std::vector<bool> reduced_mask(const Tensor& self, const std::optional<Dims>& dims);
// Sizes of the result.
Dims reduced_sizes(const Tensor& self, const std::vector<bool>& mask, bool keepdim);
// The length of the rows that are reduced, where the last dimensions alone go and each row lies together; 0
// otherwise. `apart` is how far the next row is; without it rows have to follow one another.
int64_t contiguous_row(const Tensor& self, const std::vector<bool>& mask, int64_t* apart = nullptr);
int64_t reduced_count(const Tensor& self, const std::vector<bool>& mask);

// A reduction as its loops are quickest: dimensions in the order of the memory, without those that repeat
// their values (stride 0), and with values brought together where none has a neighbour.
struct Straightened {
  Tensor self;
  std::vector<bool> mask;
  int64_t repeats = 1;  // how often each value stands in its reduction
  // Where the results that belong into `out` (contiguous) are to be written, and how they get there.
  Tensor place(const Tensor& out) const;
  void deliver(const Tensor& place, const Tensor& out) const;

  bool own_order = true;                 // the results come in out's order
  Dims sizes, kept_sizes, kept_strides;  // of the place; of out, and the place's over out's dimensions
};
enum class Straighten {
  kDropRepeats,  // the caller counts `repeats`
  kKeepRepeats,  // of what is reduced
  kPlaces,       // of one dimension, counting places: repeats are dropped, and all lies together
};
// Empty where there is nothing to gain.
std::optional<Straightened> straighten(const Tensor& self, const std::vector<bool>& mask, Straighten how);

// finish(index, acc) is called once for each output, in any order, from any thread; `index` counts the kept
// dimensions in their order.
void reduce(const Tensor& self, const std::vector<bool>& mask, const Reduction& r,
            FunctionRef<void(int64_t index, const Acc&)> finish);

// A gradient or result of a reduction, with the reduced dimensions put back as ones. Differentiable.
Tensor restore_dims(const Tensor& t, const std::vector<bool>& mask, bool keepdim);
// The dimensions of a mask.
Dims mask_dims(const std::vector<bool>& mask);

// Writes a double or int64 into element `index` of a contiguous tensor.
class ElementWriter {
 public:
  explicit ElementWriter(const Tensor& out)
      : base_((char*)out.raw()),
        item_((int64_t)out.itemsize()),
        f_(store_row(Dtype::Float64, out.dtype())),
        i_(store_row(Dtype::Int64, out.dtype())) {}
  void set(int64_t index, double v) const { f_(1, &v, base_ + index * item_, 0); }
  void set(int64_t index, int64_t v) const { i_(1, &v, base_ + index * item_, 0); }

 private:
  char* base_;
  int64_t item_;
  StoreRow f_, i_;
};

}  // namespace nnlib::ops
