// Conversions between all types.
#include "harness.h"

using namespace harness;
using nnlib::kernels::Table;

namespace {

constexpr int64_t kSizes[] = {1, 1, 1, 2, 4, 8, 2, 2, 4, 8};  // by core/dtype.h's numbers

// Values of type `type`, made from doubles by the reference: the ends of int32 and of what a double holds,
// halves, and values in between. Where `tame`, they fit into every type.
std::vector<uint8_t> values(int64_t type, int64_t n, bool tame) {
  static const double special[] = {0,    -0.0,         0.5,           -0.5,       1,     -1,
                                   2.5,  2147483648.0, -2147483904.0, 4294967296, 1e15,  -3e15,
                                   1e18, -5e17,        254,           -128,       127.9, 65504};
  std::uniform_real_distribution<double> u(0, 100);
  std::vector<double> x;
  for (int64_t i = 0; i < n; ++i) x.push_back(!tame && i % 5 == 1 ? special[i / 5 % 18] : u(rng()));
  std::vector<uint8_t> bytes(size_t(n * kSizes[type]) + 8);
  truth().convert(9, type, n, x.data(), bytes.data());
  return bytes;
}

}  // namespace

TEST(conversions) {
  for_each_isa([](const Table& t, const char* isa) {
    for (int64_t from = 0; from < 10; ++from) {
      for (int64_t to = 0; to < 10; ++to) {
        for (int64_t n : {0, 1, 5, 31, 32, 33, 64, 100, 203}) {
          for (bool tame : {true, false}) {
            const std::vector<uint8_t> x = values(from, n, tame || from == 6);  // infinities are no wholes
            // Shifted by as much as the largest type: bytes may lie anywhere, what is made of them may not.
            Guarded<uint8_t> y(n * kSizes[to], 8), y0(n * kSizes[to], 8);
            t.convert(from, to, n, x.data(), y.data());
            truth().convert(from, to, n, x.data(), y0.data());
            int64_t wrong = -1;
            for (int64_t i = 0; i < n && wrong < 0; ++i)
              if (std::memcmp(y.data() + i * kSizes[to], y0.data() + i * kSizes[to], size_t(kSizes[to])) != 0)
                wrong = i;
            CHECK(wrong < 0, isa, " ", from, " to ", to, " value ", wrong, " of ", n);
            CHECK(y.intact(), isa, " ", from, " to ", to, " wrote past its ", n, " values");
          }
        }
      }
    }
  });
  covered().insert("convert");
}

TEST(conversions_of_what_is_no_number) {
  for_each_isa([](const Table& t, const char* isa) {
    const std::vector<float> x = {NAN, INFINITY, -INFINITY, 1, NAN};
    std::vector<double> wide(5);
    t.convert(8, 9, 5, x.data(), wide.data());
    CHECK(std::isnan(wide[0]) && wide[1] == INFINITY && wide[2] == -INFINITY && wide[3] == 1, isa);
    std::vector<uint8_t> truths(5);
    t.convert(8, 0, 5, x.data(), truths.data());
    for (uint8_t v : truths) CHECK(v == 1, isa, " truth of NaN and infinities");
    std::vector<uint16_t> half(5);
    t.convert(9, 7, 5, wide.data(), half.data());
    std::vector<float> back(5);
    t.convert(7, 8, 5, half.data(), back.data());
    CHECK(std::isnan(back[0]) && back[1] == INFINITY && back[2] == -INFINITY && back[3] == 1, isa);
  });
}
