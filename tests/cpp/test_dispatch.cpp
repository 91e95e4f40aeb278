// Which table is chosen, and that each holds what it has to.
#include "harness.h"

using namespace nnlib::kernels;

TEST(active_table_is_the_named_one) {
  CHECK(&table() == table_for(active_isa()), isa_name(active_isa()));
  const char* forced = std::getenv("NNLIB_ISA");
  if (forced && *forced) CHECK(std::string(forced) == isa_name(active_isa()), forced);
}

TEST(tables_are_whole_and_their_own) {
  harness::for_each_isa([](const Table& t, const char* isa) {
#define NNLIB_KERNEL(name, ret, args) \
  CHECK(t.name != nullptr && t.name != harness::truth().name, isa, " " #name);
#define NNLIB_BLOCK(name) CHECK(t.name > 0, isa, " " #name);
#include "kernels/kernels.def"
  });
}

TEST(baseline_and_avx2_differ) {
  const Table *a = table_for(Isa::Baseline), *b = table_for(Isa::Avx2);
  if (a && b) CHECK(a->exp_f32 != b->exp_f32, "exp_f32");
}
