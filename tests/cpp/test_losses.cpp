// The kernels of embedding.inl, cross_entropy.inl and reduce.inl against the reference.
#include <algorithm>

#include "harness.h"

using namespace harness;
using nnlib::kernels::CrossEntropy;
using nnlib::kernels::CrossEntropyOf;
using nnlib::kernels::Table;

// The scores of some examples with their targets, in one element type.
template <class T, class C = float>
struct Scores {
  int64_t classes, examples;
  std::vector<T> x, p;
  std::vector<C> weight;
  std::vector<int64_t> target;
  Scores(int64_t classes, int64_t examples, T (*from)(float))
      : classes(classes), examples(examples), weight(size_t(classes)), target(size_t(examples)) {
    std::vector<float> values(size_t(classes * examples) + 1), given(values.size());
    std::vector<float> weights(weight.size());
    fill(values, -20, 20), fill(given, 0, 1), fill(weights, 0.1f, 1);
    weight.assign(weights.begin(), weights.end());
    for (const float v : values) x.push_back(from(v));
    for (const float v : given) p.push_back(from(v));
    for (int64_t i = 0; i < examples; ++i) target[size_t(i)] = i % 5 == 3 ? -100 : (i * 7 + 3) % classes;
  }
  CrossEntropyOf<C> spec(int mode) const {
    C sum = 0;
    for (const C w : weight) sum += mode & 1 ? w : 1;
    const C e = mode & 2 ? C(0.2) : 0;
    return {classes, -100, mode & 1 ? weight.data() : nullptr, 1 - e, e / C(classes), sum, C(0.5)};
  }
};
float itself(float x) { return x; }
double widened(float x) { return x; }
uint16_t to_bf16(float x) {
  uint16_t y;
  truth().f32_to_bf16(1, &x, &y);
  return y;
}
uint16_t to_f16(float x) {
  uint16_t y;
  truth().f32_to_f16(1, &x, &y);
  return y;
}
float value_of(float x, float (*)(float)) { return x; }
double value_of(double x, double (*)(float)) { return x; }
float value_of(uint16_t x, uint16_t (*from)(float)) {
  float y;
  from == to_bf16 ? truth().bf16_to_f32(1, &x, &y) : truth().f16_to_f32(1, &x, &y);
  return y;
}

template <class T, class One, class Kernel>
void check_sum_rows(const char* isa, T (*from)(float), Kernel kernel, Kernel true_kernel) {
  std::vector<float> values(40 * 150), factors(10);
  const std::vector<int64_t> rows = {3, 3, 0, 39, 7, 11, 3, 8, 21, 0};
  fill(values), fill(factors);
  std::vector<T> src;
  for (const float v : values) src.push_back(from(v));
  const std::vector<One> weights(factors.begin(), factors.end());
  const double relative = sizeof(T) == 2 ? 1e-2 : sizeof(T) == 4 ? 1e-6 : 1e-14, absolute = 10 * relative;
  for (int64_t d : {0, 1, 3, 4, 7, 16, 17, 64, 65, 150}) {
    for (int64_t count : {0, 1, 7, 10}) {
      for (const One* w : {static_cast<const One*>(nullptr), weights.data()}) {
        Guarded<T> a(d), b(d);
        kernel(count, d, rows.data(), src.data(), 150, w, a.data());
        true_kernel(count, d, rows.data(), src.data(), 150, w, b.data());
        for (int64_t j = 0; j < d; ++j)
          CHECK(close(value_of(a[j], from), value_of(b[j], from), relative, absolute), isa, " of ", count,
                " rows at ", j);
        CHECK(a.intact(), isa, " wrote outside");
      }
    }
  }
}
// At each place within a line of the cache, rows of each length around it.
TEST(gather_rows_past) {
  for_each_isa([](const Table& t, const char* isa) {
    const std::vector<int64_t> rows = {3, 0, 3, 11, 7, 2, 5, 11, 1, 0, 9, 4};
    std::vector<char> src(12 * 400);
    for (size_t i = 0; i < src.size(); ++i) src[i] = char(i * 37 % 251);
    for (const int64_t bytes : {0, 1, 2, 6, 63, 64, 65, 126, 256, 258, 400}) {
      for (const int64_t count : {0, 1, 9, 12}) {
        for (int64_t place = 0; place < 64; place += 7) {
          const size_t size = size_t(count * bytes);
          std::vector<char> y(size + 256, 77), z(size + 1);
          char* const to = y.data() + 64 + place;
          t.gather_rows_past(count, bytes, rows.data(), src.data(), to);
          truth().gather_rows_past(count, bytes, rows.data(), src.data(), z.data());
          CHECK(std::equal(to, to + size, z.data()), isa, " ", count, " rows of ", bytes, " bytes at ",
                place);
          CHECK(std::all_of(y.data(), to, [](char c) { return c == 77; }) &&
                    std::all_of(to + size, y.data() + y.size(), [](char c) { return c == 77; }),
                isa, " wrote outside ", count, " rows of ", bytes, " bytes at ", place);
        }
      }
    }
  });
  covered().insert("gather_rows_past");
}

TEST(sum_rows_indexed) {
  for_each_isa([&](const Table& t, const char* isa) {
    const Table& w = truth();
    check_sum_rows<float, float>(isa, itself, t.sum_rows_indexed_f32, w.sum_rows_indexed_f32);
    check_sum_rows<double, double>(isa, widened, t.sum_rows_indexed_f64, w.sum_rows_indexed_f64);
    check_sum_rows<uint16_t, float>(isa, to_bf16, t.sum_rows_indexed_bf16, w.sum_rows_indexed_bf16);
    check_sum_rows<uint16_t, float>(isa, to_f16, t.sum_rows_indexed_f16, w.sum_rows_indexed_f16);
  });
  for (const char* type : {"f32", "f64", "bf16", "f16"})
    covered().insert(std::string("sum_rows_indexed_") + type);
}

// C: the type in which T is computed.
template <class C, class T, class Rows, class Lanes>
void check_examples(const char* isa, T (*from)(float), Rows rows, Lanes lanes, Rows true_rows) {
  const double relative = sizeof(T) == 8   ? 1e-13
                          : sizeof(T) == 4 ? 1e-5
                                           : 1e-2,
               absolute = sizeof(T) == 8   ? 1e-15
                          : sizeof(T) == 4 ? 1e-6
                                           : 4e-3,
               of_loss = sizeof(T) == 8 ? 1e-14 : 1e-5;
  for (int64_t n : {1, 2, 3, 5, 7, 8, 9, 16, 31, 33, 64, 100, 257}) {
    for (int64_t examples : {1, 6, 16, 37}) {
      const Scores<T, C> s(n, examples, from);
      std::vector<C> scratch(size_t((2 * n + 8) * (examples + 31)));
      for (int mode = 0; mode < 16; ++mode) {  // weights, smoothing, streaming, probabilities
        const CrossEntropyOf<C> c = s.spec(mode);
        const bool stream = mode & 4;
        const int64_t* target = mode & 8 ? nullptr : s.target.data();
        const T *x = s.x.data() + 1, *p = mode & 8 ? s.p.data() + 1 : nullptr;
        Guarded<C> want_loss(examples), loss(examples);
        Guarded<T> want(n * examples), got(n * examples, 1 + mode % 3), turned(n * examples, mode % 3);
        const auto compare = [&](const char* what, Guarded<T>& y) {
          for (int64_t i = 0; i < examples; ++i)
            CHECK(close(loss[i], want_loss[i], of_loss, 10 * of_loss), isa, what, " loss ", i, " of ", n,
                  " mode ", mode, ": ", loss[i], " ", want_loss[i]);
          for (int64_t i = 0; i < n * examples; ++i)
            CHECK(close(value_of(y[i], from), value_of(want[i], from), relative, absolute), isa, what,
                  " gradient ", i, " of ", n, " x ", examples, " mode ", mode);
          CHECK(loss.intact() && y.intact(), isa, what, " wrote outside");
        };
        true_rows(&c, examples, x, n, target, p, n, want_loss.data(), want.data(), n, nullptr, false);
        rows(&c, examples, x, n, target, p, n, loss.data(), got.data(), n, scratch.data(), stream);
        compare(" rows", got);
        lanes(&c, examples, x, 1, n, target, p, 1, n, loss.data(), turned.data(), 1, n, scratch.data(),
              stream);
        compare(" turned rows", turned);
        rows(&c, examples, x, n, target, p, n, loss.data(), nullptr, 0, scratch.data(), stream);
        compare(" losses of rows", got);
        // The same memory read with the classes apart.
        std::vector<T> xt(s.x.size()), pt(s.x.size());
        for (int64_t i = 0; i < examples; ++i) {
          for (int64_t j = 0; j < n; ++j)
            xt[size_t(j * examples + i)] = x[i * n + j],
                                     pt[size_t(j * examples + i)] = p ? p[i * n + j] : T();
        }
        Guarded<T> apart(n * examples, mode % 5), back(n * examples);
        lanes(&c, examples, xt.data(), examples, 1, target, p ? pt.data() : nullptr, examples, 1, loss.data(),
              apart.data(), examples, 1, scratch.data(), stream);
        for (int64_t i = 0; i < n * examples; ++i) back[i] = apart[i % n * examples + i / n];
        CHECK(apart.intact(), isa, " lanes wrote outside");
        compare(" lanes", back);
      }
    }
  }
}

template <class T, class Part, class PartGrad>
void check_parts(const char* isa, T (*from)(float), Part part, PartGrad part_grad, Part true_part,
                 PartGrad true_part_grad) {
  const double relative = sizeof(T) == 4 ? 1e-5 : 1e-2, absolute = sizeof(T) == 4 ? 1e-6 : 4e-3;
  for (int64_t n : {1, 2, 7, 8, 9, 16, 31, 33, 64, 100, 257}) {
    const Scores<T> s(n, 1, from);
    for (int mode = 0; mode < 16; ++mode) {
      const CrossEntropy c = s.spec(mode);
      const T *x = s.x.data() + 1, *p = mode & 8 ? s.p.data() + 1 : nullptr;
      float sums[4], true_sums[4];
      part(&c, n, x, p, sums), true_part(&c, n, x, p, true_sums);
      for (int q = 0; q < 4; ++q)
        CHECK(close(sums[q], true_sums[q], 1e-5, 1e-5), isa, " part ", q, " of ", n, " mode ", mode);
      Guarded<T> a(n, mode % 3), b(n);
      part_grad(&c, n, x, p, sums[0], 0.3f, a.data()), true_part_grad(&c, n, x, p, sums[0], 0.3f, b.data());
      for (int64_t j = 0; j < n; ++j)
        CHECK(close(value_of(a[j], from), value_of(b[j], from), relative, absolute), isa, " part_grad ", j,
              " of ", n);
      CHECK(a.intact(), isa, " part_grad wrote outside");
    }
  }
}

TEST(cross_entropy) {
  const Table& w = truth();
  for_each_isa([&](const Table& t, const char* isa) {
#define NNLIB_CHECK_TYPE(suffix, C, from)                                                     \
  check_examples<C>(isa, from, t.cross_entropy_rows_##suffix, t.cross_entropy_lanes_##suffix, \
                    w.cross_entropy_rows_##suffix);
#define NNLIB_CHECK_PARTS(suffix, from)                                                     \
  check_parts(isa, from, t.cross_entropy_part_##suffix, t.cross_entropy_part_grad_##suffix, \
              w.cross_entropy_part_##suffix, w.cross_entropy_part_grad_##suffix);
    NNLIB_CHECK_TYPE(f32, float, itself)
    NNLIB_CHECK_TYPE(bf16, float, to_bf16)
    NNLIB_CHECK_TYPE(f16, float, to_f16)
    NNLIB_CHECK_TYPE(f64, double, widened)
    NNLIB_CHECK_PARTS(f32, itself)
    NNLIB_CHECK_PARTS(bf16, to_bf16)
    NNLIB_CHECK_PARTS(f16, to_f16)
#undef NNLIB_CHECK_TYPE
#undef NNLIB_CHECK_PARTS
    // Scores past the range of exp, and those that are no numbers.
    const float inf = INFINITY;
    const std::vector<std::vector<float>> edges = {{-inf, -inf},   {inf, 1},  {-inf, 2},
                                                   {NAN, 1},       {1, NAN},  {1e30f, -1e30f},
                                                   {3e38f, 3e38f}, {-150, 0}, {2, -inf}};
    const CrossEntropy c{2, -100, nullptr, 1, 0, 2, 1};
    const int64_t target = 0;
    for (const auto& e : edges) {
      float loss[2], y[4], want_loss, want[2], scratch[400];
      w.cross_entropy_rows_f32(&c, 1, e.data(), 2, &target, nullptr, 0, &want_loss, want, 2, nullptr, false);
      t.cross_entropy_rows_f32(&c, 1, e.data(), 2, &target, nullptr, 0, loss, y, 2, scratch, false);
      t.cross_entropy_lanes_f32(&c, 1, e.data(), 1, 2, &target, nullptr, 0, 0, loss + 1, y + 2, 1, 2, scratch,
                                false);
      for (int k = 0; k < 2; ++k) {
        CHECK(close(loss[k], want_loss, 1e-6, 0), isa, " loss of ", e[0], ", ", e[1], ": ", loss[k], " not ",
              want_loss);
        for (int j = 0; j < 2; ++j)
          CHECK(close(y[2 * k + j], want[j], 1e-6, 1e-6), isa, " gradient of ", e[0], ", ", e[1], " at ", j);
      }
    }
  });
  for (const char* type : {"f32", "bf16", "f16"}) {
    for (const char* name : {"rows_", "lanes_", "part_", "part_grad_"})
      covered().insert(std::string("cross_entropy_") + name + type);
  }
  covered().insert({"cross_entropy_rows_f64", "cross_entropy_lanes_f64"});
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
