// How a product of float32 or float64 matrices is computed. The plan depends on sizes and strides alone; one
// plan serves all products of a batch.
//
// One operand stays in rows or columns (P, M x k), of which a tile takes a few and multiplies each element
// with vectors of the other one (Q, k x N). Either operand of the product can be either of them: `turned`
// plans compute the transpose of C. P is mostly read where it lies; Q is read where it lies when few rows of
// P pass over it, and otherwise packed once for all threads.
#pragma once
#include <cstdint>

#include "ops/drivers/gemm_block.h"

namespace nnlib::drivers {

template <class T>
class GemmPlan {
 public:
  GemmPlan(int64_t m, int64_t n, int64_t k, T alpha, Strided<T> a, Strided<T> b);

  // C = alpha A B + beta C (+ bias), as gemm() says, for operands with the strides that were planned for. The
  // packing of one of them may be kept.
  void run(const T* a, const T* b, T beta, T* c, int64_t ldc, const T* bias, Storage* kept_a,
           Storage* kept_b) const;

 private:
  // Tiles with one choice of P and Q, and what they cost in cycles of a core.
  struct Tiles {
    bool turned = false, pack_p = false, pack_q = false;
    int64_t M = 0, N = 0;
    int64_t prs = 0, pks = 0, qks = 0, qcs = 0;  // strides of P and Q along their rows, columns and k
    double cycles = 0;
  };
  // A part of k (pc and depth) for columns of Q from jc on, `count` panels of them. `packed` holds them where
  // Q is packed; else the last panel of Q, for all of k.
  struct Pass {
    const T *p, *q, *packed;
    T* c;
    const T* bias;
    int64_t ldc, jc, pc, depth, count;
    bool accumulate;
  };
  struct Shares {
    int64_t rows, columns;
  };
  Tiles plan_tiles(bool turned, bool q_is_kept) const;
  Shares plan_shares(const Tiles& t, int64_t panels, int64_t depth) const;
  void run_tiles(const Tiles& t, const T* p, const T* q, bool accumulate, T* c, int64_t ldc, const T* bias,
                 const T* kept) const;
  void run_share(const Tiles& t, const Pass& x, int64_t i0, int64_t i1, int64_t j0, int64_t j1) const;
  void pack_columns(const Tiles& t, const T* q, int64_t pc, int64_t depth, int64_t jc, int64_t columns,
                    T* panels) const;
  double plan_dots() const;
  void run_dots(const T* a, const T* b, T beta, T* c, int64_t ldc, const T* bias) const;

  TileKernel<T> tile_;
  int64_t m_, n_, k_, kc_;  // kc: depth of the blocks of k
  T alpha_;
  Strided<T> a_, b_;
  Tiles tiles_;
  bool dots_ = false;
};

}  // namespace nnlib::drivers
