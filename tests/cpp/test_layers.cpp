// The kernels of normalisation, pooling and dropout against the reference, at odd sizes and alignments.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

void expect(Guarded<float>& got, Guarded<float>& want, const char* kernel, const char* isa, double rtol) {
  for (int64_t i = 0; i < got.size(); ++i) {
    CHECK(close(got[i], want[i], rtol, rtol), kernel, " ", isa, " at ", i, " of ", got.size(), " is ", got[i],
          " not ", want[i]);
  }
  CHECK(got.intact(), kernel, " ", isa, " wrote past its ", got.size(), " values");
}

// Runs a kernel of every table and the reference on outputs that start with the same values.
#define COMPARE(kernel, outputs, ...)                                   \
  do {                                                                  \
    covered().insert(#kernel);                                          \
    Guarded<float> got(outputs, 3), want(outputs, 3);                   \
    fill(got);                                                          \
    for (int64_t i = 0; i < got.size(); ++i) want[i] = got[i];          \
    const auto call = [&](const Table& t, float* out) { __VA_ARGS__; }; \
    call(table, got.data());                                            \
    call(truth(), want.data());                                         \
    expect(got, want, #kernel, isa, 1e-5 * (1 + double(n) / 16));       \
  } while (0)

void norm_kernels(const Table& table, const char* isa, int64_t n, bool affine) {
  Guarded<float> x(n), g(n), w(n), b(n), c(n);
  for (auto* a : {&x, &g, &w, &b, &c}) fill(*a);
  const float *weight = affine ? w.data() : nullptr, *bias = affine ? b.data() : nullptr;
  COMPARE(norm_sum_f32, 1, out[0] = t.norm_sum_f32(n, x.data()));
  COMPARE(norm_square_deviation_f32, 1, out[0] = t.norm_square_deviation_f32(n, x.data(), 0.3f));
  COMPARE(norm_apply_f32, n, t.norm_apply_f32(n, x.data(), 1.7f, -0.4f, out));
  COMPARE(norm_grad_sums_f32, 2, t.norm_grad_sums_f32(n, g.data(), x.data(), 0.3f, out));
  COMPARE(norm_grad_f32, n, t.norm_grad_f32(n, g.data(), x.data(), 1.7f, -0.4f, 0.2f, out));
  COMPARE(norm_affine_f32, n, t.norm_affine_f32(n, x.data(), 0.3f, 1.2f, weight, bias, out));
  COMPARE(norm_affine_grad_sums_f32, 2,
          t.norm_affine_grad_sums_f32(n, g.data(), x.data(), weight, 0.3f, out));
  COMPARE(norm_affine_grad_f32, n,
          t.norm_affine_grad_f32(n, g.data(), x.data(), weight, 1.7f, -0.4f, 0.2f, out));
  COMPARE(norm_param_grad_f32, 2 * n,
          t.norm_param_grad_f32(n, g.data(), x.data(), 0.3f, 1.2f, affine ? out : nullptr, out + n));
  COMPARE(col_square_deviation_f32, n, t.col_square_deviation_f32(n, x.data(), w.data(), out));
  COMPARE(col_apply_f32, n, t.col_apply_f32(n, x.data(), w.data(), b.data(), out));
  COMPARE(col_grad_sums_f32, 2 * n, t.col_grad_sums_f32(n, g.data(), x.data(), w.data(), out, out + n));
  COMPARE(col_grad_f32, n, t.col_grad_f32(n, g.data(), x.data(), w.data(), b.data(), c.data(), out));
}

void attention_kernels(const Table& table, const char* isa, int64_t n, int64_t width) {
  const int64_t size = n * width, ld = width + 3, apart = n * ld;
  Guarded<float> p(apart), shift(std::max(n, width)), factor(std::max(n, width));
  fill(p), fill(shift), fill(factor);
  for (bool by_column : {false, true}) {
    COMPARE(attention_probability_f32, apart,
            t.attention_probability_f32(n, width, ld, out, shift.data(), factor.data(), by_column));
    COMPARE(attention_grad_f32, apart,
            t.attention_grad_f32(n, width, ld, p.data(), shift.data(), out, by_column));
  }
  // Scores, then the state, then three rows made of earlier scores. The state is -infinity at first; a column
  // may have seen nothing yet, and one holds NaN.
  for (const float first : {-INFINITY, 1.f}) {
    COMPARE(attention_softmax_f32, size + 5 * width, float* state = out + size;
            for (int64_t c = 0; c < width; ++c) state[c] = first, state[width + c] = first > 0 ? 2.f : 0.f;
            for (int64_t i = 0; i < n; ++i) out[i * width] = -INFINITY;
            if (n > 1 && width > 2) out[width + 1] = NAN;
            t.attention_softmax_f32(n, width, out, state, 3, state + 2 * width));
  }
}

}  // namespace

TEST(attention) {
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : {0, 1, 2, 5, 33})
      for (int64_t width : {1, 3, 8, 16, 24, 32, 37}) attention_kernels(table, isa, n, width);
    for (int64_t n : odd_sizes()) attention_kernels(table, isa, n, 1);
  });
}

TEST(norm) {
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : odd_sizes()) {
      norm_kernels(table, isa, n, false);
      norm_kernels(table, isa, n, true);
    }
  });
}

TEST(max_pool_2x2) {
  covered().insert("max_pool_2x2_f32");
  covered().insert("max_pool_2x2_grad_f32");
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : odd_sizes()) {
      Guarded<float> upper(2 * n), lower(2 * n), y(n), y0(n), g(n);
      Guarded<uint8_t> at(n), at0(n);
      fill(upper);
      fill(lower);
      fill(g);
      // Ties and NaN: the first of equals, the last NaN.
      for (int64_t i = 0; i + 4 < 2 * n; i += 5) {
        lower[i] = upper[i];
        upper[i + 1] = NAN;
        if (i % 2) lower[i + 1] = NAN;
      }
      table.max_pool_2x2_f32(n, upper.data(), lower.data(), y.data(), at.data());
      truth().max_pool_2x2_f32(n, upper.data(), lower.data(), y0.data(), at0.data());
      expect(y, y0, "max_pool_2x2_f32", isa, 0);
      for (int64_t i = 0; i < n; ++i) CHECK(at[i] == at0[i], isa, " place ", i, " of ", n);
      CHECK(at.intact(), isa, " wrote past its places");
      Guarded<float> gu(2 * n), gl(2 * n), gu0(2 * n), gl0(2 * n);
      table.max_pool_2x2_grad_f32(n, g.data(), at.data(), gu.data(), gl.data());
      truth().max_pool_2x2_grad_f32(n, g.data(), at.data(), gu0.data(), gl0.data());
      expect(gu, gu0, "max_pool_2x2_grad_f32", isa, 0);
      expect(gl, gl0, "max_pool_2x2_grad_f32", isa, 0);
    }
  });
}

TEST(pool_lines) {
  covered().insert({"pool_max_f32", "pool_sum_f32"});
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : odd_sizes()) {
      for (int64_t taps : {1, 2, 9}) {
        Guarded<float> x(n + 40), y(n), y0(n);
        Guarded<int64_t> at(n), at0(n);
        fill(x);
        for (int64_t i = 0; i < n + 40; i += 7) x[i] = i % 2 ? NAN : 0.25f;
        std::vector<int64_t> offset;
        std::vector<int32_t> place;
        for (int64_t t = 0; t < taps; ++t) {
          offset.push_back(t * 13 % 40);
          place.push_back(int32_t(100 - 3 * t));
        }
        table.pool_max_f32(n, taps, offset.data(), place.data(), 3, x.data(), y.data(), at.data());
        truth().pool_max_f32(n, taps, offset.data(), place.data(), 3, x.data(), y0.data(), at0.data());
        expect(y, y0, "pool_max_f32", isa, 0);
        for (int64_t i = 0; i < n; ++i) CHECK(at[i] == at0[i], isa, " place ", i, " of ", n, " is ", at[i]);
        CHECK(at.intact(), isa, " wrote past its places");
        table.pool_max_f32(n, taps, offset.data(), place.data(), 3, x.data(), y.data(), nullptr);
        expect(y, y0, "pool_max_f32 without places", isa, 0);
        table.pool_sum_f32(n, taps, offset.data(), x.data(), y.data());
        truth().pool_sum_f32(n, taps, offset.data(), x.data(), y0.data());
        expect(y, y0, "pool_sum_f32", isa, 0);
      }
    }
  });
}

template <class T>
void check_transpose(const char* isa, void (*kernel)(int64_t, int64_t, const T*, int64_t, T*, int64_t)) {
  for (int64_t rows : {0, 1, 2, 3, 4, 5, 15, 16, 33, 64, 70})
    for (int64_t cols : {0, 1, 2, 3, 4, 5, 15, 16, 33, 64, 70}) {
      const int64_t ldx = cols + 3, ldy = rows + 2;
      std::vector<T> x(size_t(rows * ldx + 1));
      for (size_t i = 0; i < x.size(); ++i) x[i] = T(i * 2654435761u + (i << 40));
      Guarded<T> y(cols * ldy);
      for (int64_t i = 0; i < cols * ldy; ++i) y[i] = T(77);
      kernel(rows, cols, x.data(), ldx, y.data(), ldy);
      for (int64_t j = 0; j < cols; ++j)
        for (int64_t i = 0; i < ldy; ++i)
          CHECK(y[j * ldy + i] == (i < rows ? x[size_t(i * ldx + j)] : T(77)), isa, " transpose_u",
                8 * sizeof(T), " ", rows, "x", cols, " at ", i, ", ", j);
      CHECK(y.intact(), isa, " transpose_u", 8 * sizeof(T), " wrote outside");
    }
}
TEST(transpose) {
  covered().insert({"transpose_u8", "transpose_u16", "transpose_u32", "transpose_u64"});
  for_each_isa([](const Table& table, const char* isa) {
    check_transpose(isa, table.transpose_u8);
    check_transpose(isa, table.transpose_u16);
    check_transpose(isa, table.transpose_u32);
    check_transpose(isa, table.transpose_u64);
  });
}

TEST(dropout) {
  covered().insert("dropout_f32");
  for_each_isa([](const Table& table, const char* isa) {
    for (int64_t n : odd_sizes()) {
      for (uint64_t counter : {uint64_t(0), uint64_t(0xfffffff0u), uint64_t(7) << 32}) {
        Guarded<float> x(n), y(n), y0(n);
        fill(x);
        table.dropout_f32(n, x.data(), y.data(), 0x60000000u, 1.6f, 0x123456789abcdef0u, counter);
        truth().dropout_f32(n, x.data(), y0.data(), 0x60000000u, 1.6f, 0x123456789abcdef0u, counter);
        expect(y, y0, "dropout_f32", isa, 0);
      }
    }
  });
  // The share that is dropped, and that different keys and counters give different numbers.
  const int64_t n = 1 << 16;
  std::vector<float> ones(n, 1.f), a(n), b(n), c(n);
  truth().dropout_f32(n, ones.data(), a.data(), 0x40000000u, 1.f, 1, 0);
  truth().dropout_f32(n, ones.data(), b.data(), 0x40000000u, 1.f, 2, 0);
  truth().dropout_f32(n, ones.data(), c.data(), 0x40000000u, 1.f, 1, n / 4);
  int64_t kept = 0, same_key = 0, same_counter = 0;
  for (int64_t i = 0; i < n; ++i) {
    kept += a[i] != 0;
    same_key += a[i] == b[i];
    same_counter += a[i] == c[i];
  }
  CHECK(std::fabs(kept / double(n) - 0.75) < 0.01, "kept ", kept, " of ", n);
  CHECK(std::fabs(same_key / double(n) - 0.625) < 0.01, "equal ", same_key, " of ", n);
  CHECK(std::fabs(same_counter / double(n) - 0.625) < 0.01, "equal ", same_counter, " of ", n);
}

TEST(box_muller) {
  covered().insert("box_muller_f32");
  std::vector<float> first, uniform(16 * 40);
  fill(uniform, 0, 1);
  for (size_t i = 0; i < uniform.size(); i += 37) uniform[i] = 0;
  for_each_isa([&](const Table& table, const char* isa) {
    for (int64_t blocks : {0, 1, 3, 40}) {
      Guarded<float> x(16 * blocks), y(16 * blocks);
      for (int64_t i = 0; i < 16 * blocks; ++i) x[i] = y[i] = uniform[i];
      table.box_muller_f32(blocks, x.data(), 0.5f, 2.f);
      truth().box_muller_f32(blocks, y.data(), 0.5f, 2.f);
      expect(x, y, "box_muller_f32", isa, 4e-6);
      if (blocks != 40) continue;
      // The bits are those of every other instruction set.
      const std::vector<float> bits(x.data(), x.data() + 16 * blocks);
      if (first.empty()) first = bits;
      CHECK(first == bits, isa, " differs from the other instruction sets");
    }
  });
}
