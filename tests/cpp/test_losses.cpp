// The kernels of embedding.inl, cross_entropy.inl and reduce.inl against the reference.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

TEST(sum_rows_indexed) {
  std::vector<float> src(40 * 150), weights(10);
  std::vector<int64_t> rows = {3, 3, 0, 39, 7, 11, 3};
  fill(src), fill(weights);
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t d : {0, 1, 3, 4, 16, 17, 64, 65, 150}) {
      for (int64_t count : {0, 1, 7}) {
        for (const float* w :
             {static_cast<const float*>(nullptr), static_cast<const float*>(weights.data())}) {
          Guarded<float> a(d), b(d);
          t.sum_rows_indexed_f32(count, d, rows.data(), src.data(), 150, w, a.data());
          truth().sum_rows_indexed_f32(count, d, rows.data(), src.data(), 150, w, b.data());
          for (int64_t j = 0; j < d; ++j)
            CHECK(close(a[j], b[j], 1e-6, 1e-5), isa, " of ", count, " rows at ", j);
          CHECK(a.intact(), isa, " wrote outside");
        }
      }
    }
  });
  covered().insert("sum_rows_indexed_f32");
}

TEST(cross_entropy_rows) {
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t n : odd_sizes()) {
      std::vector<float> x(n + 1), w(n + 1);
      fill(x, -30, 30), fill(w, 0, 1);
      const float lse = truth().logsumexp_f32(n, x.data() + 1);
      CHECK(close(t.logsumexp_f32(n, x.data() + 1), lse, 1e-6, 1e-6), isa, " logsumexp of ", n, ": ", lse);
      for (int mode = 0; mode < 4; ++mode) {
        const float* weight = mode & 1 ? w.data() : nullptr;
        Guarded<float> a(n, 1 + mode), b(n);
        t.softmax_grad_f32(n, x.data() + 1, lse, 0.5f, 0.1f, weight, a.data(), mode & 2);
        truth().softmax_grad_f32(n, x.data() + 1, lse, 0.5f, 0.1f, weight, b.data(), false);
        for (int64_t i = 0; i < n; ++i)
          CHECK(close(a[i], b[i], 1e-5, 1e-7), isa, " softmax_grad at ", i, " of ", n);
        CHECK(a.intact(), isa, " softmax_grad wrote outside");
      }
    }
    const float inf = INFINITY;
    const std::vector<std::vector<float>> edges = {{-inf, -inf}, {inf, 1},        {-inf, 2},     {NAN, 1},
                                                   {1, NAN},     {1e30f, -1e30f}, {3e38f, 3e38f}};
    for (const auto& e : edges) {
      const float got = t.logsumexp_f32(2, e.data()), want = truth().logsumexp_f32(2, e.data());
      CHECK(close(got, want, 1e-6, 0), isa, " logsumexp of ", e[0], ", ", e[1], ": ", got, " not ", want);
    }
  });
  covered().insert({"logsumexp_f32", "softmax_grad_f32"});
}

TEST(sums) {
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t n : {0, 1, 5, 16, 63, 64, 100, 1023, 1025, 5000}) {
      std::vector<float> x(n + 1);
      fill(x);
      CHECK(close(t.sum_f32(n, x.data() + 1), truth().sum_f32(n, x.data() + 1), 1e-6, 1e-3), isa, " sum of ",
            n);
    }
    for (int64_t rows : {0, 1, 2, 17, 33}) {
      for (int64_t cols : odd_sizes()) {
        std::vector<float> x(rows * (cols + 2) + 1);
        fill(x);
        Guarded<double> a(cols), b(cols);
        fill(a), b = a;
        t.sum_rows_f32(rows, cols, x.data(), cols + 2, a.data());
        truth().sum_rows_f32(rows, cols, x.data(), cols + 2, b.data());
        for (int64_t j = 0; j < cols; ++j)
          CHECK(close(a[j], b[j], 1e-5, 1e-4), isa, " sum_rows ", rows, "x", cols);
        CHECK(a.intact(), isa, " sum_rows wrote outside");
      }
    }
  });
  covered().insert({"sum_f32", "sum_rows_f32"});
}

TEST(axpy) {
  for_each_isa([&](const Table& t, const char* isa) {
    for (int64_t n : odd_sizes()) {
      std::vector<float> x(n + 1), y(n + 1);
      fill(x), fill(y);
      Guarded<float> a(n), b(n);
      t.axpy_f32(n, 0.3f, x.data() + 1, y.data() + 1, a.data());
      truth().axpy_f32(n, 0.3f, x.data() + 1, y.data() + 1, b.data());
      for (int64_t i = 0; i < n; ++i) CHECK(close(a[i], b[i], 1e-6, 1e-6), isa, " axpy ", n);
      CHECK(a.intact(), isa, " axpy wrote outside");
    }
  });
  covered().insert("axpy_f32");
}
