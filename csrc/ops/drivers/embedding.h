// Rows of a table chosen by indices: gathered, and gradients summed back in a fixed order.
#pragma once
#include <cstdint>
#include <vector>

#include "core/dtype.h"

namespace nnlib::drivers {

// dst row i = src row rows[i], of row_bytes each.
void gather_rows(int64_t count, int64_t row_bytes, const int64_t* rows, const void* src, void* dst);

// Which places have the same index: rows[g], in rising order, stands at places[start[g]] .. places[start[g +
// 1] - 1], in rising order too.
struct Groups {
  std::vector<int64_t> rows, start, places;
};
// Indices of 0 and more; `skip` (-1: none) is left out.
Groups group_by_index(int64_t count, const int64_t* indices, int64_t skip);

// Row b of y = the sum over the places p of bag b, first[b] <= p < first[b + 1], of weights[p] times row
// rows[p] of src, d values each; weights may be null (all 1). T as below.
template <class T>
void sum_bags(int64_t bags, const int64_t* first, int64_t d, const int64_t* rows, const T* src,
              const compute_t<T>* weights, T* y);

// dst[v] = the sum over the places of v of weights[place] * src[place], for each of `size` rows of d values;
// weights may be null (all 1). Rows that are in no group become 0. T: float, double, Half, BFloat16 (summed
// in float).
template <class T>
void scatter_add_rows(const Groups& groups, int64_t size, int64_t d, const T* src,
                      const compute_t<T>* weights, T* dst);

}  // namespace nnlib::drivers
