// Packed weights are kept, forgotten and bounded as packed_cache.h says.
#include "harness.h"
#include "ops/drivers/packed_cache.h"

using namespace nnlib;
using namespace nnlib::drivers;

namespace {

struct Maker {
  int made = 0;
  Packed get(Storage& s, int64_t offset = 0, int64_t bytes = 1000) {
    return packed_weight(s, {PackedKind::GemmPanels, {offset}}, bytes, [this](void* p) {
      ++made;
      *static_cast<char*>(p) = 'x';
    });
  }
};

}  // namespace

TEST(packed_cache_keeps_what_is_seen_twice) {
  const auto s = make_ref<Storage>(64);
  Maker m;
  CHECK(!m.get(*s) && m.made == 0, "kept at first sight");
  const Packed form = m.get(*s);
  CHECK(form && m.made == 1 && *static_cast<const char*>(form.get()) == 'x', "not made at the second");
  CHECK(m.get(*s) == form && m.made == 1, "made again");
  CHECK(!m.get(*s, 4) && m.get(*s) == form, "another part is another key");
  CHECK(packed_bytes() == 1000, packed_bytes());
  s->writes++;
  CHECK(!m.get(*s) && packed_bytes() == 0, "kept after a change");
  CHECK(m.get(*s) && m.made == 2, "not made again after a change");
  s->resize(128);
  CHECK(packed_bytes() == 0 && !m.get(*s), "kept after the memory moved");
}

TEST(packed_cache_forgets_dead_storages) {
  Maker m;
  Packed form;
  {
    const auto s = make_ref<Storage>(64);
    m.get(*s);
    form = m.get(*s);
    CHECK(packed_bytes() == 1000, packed_bytes());
  }
  CHECK(packed_bytes() == 0, packed_bytes());
  CHECK(*static_cast<const char*>(form.get()) == 'x', "a form in use went away");
}

TEST(packed_cache_never_keeps_memory_that_others_can_write) {
  char memory[64];
  const auto borrowed = make_ref<Storage>(memory, sizeof memory, [] {});
  const auto shown = make_ref<Storage>(64);
  Maker m;
  m.get(*shown), m.get(*shown);
  shown->expose();
  for (int i = 0; i < 3; ++i) CHECK(!m.get(*borrowed) && !m.get(*shown), "kept");
}

TEST(packed_cache_is_bounded) {
  const int64_t before = packed_limit();
  set_packed_limit(2500);
  Ref<Storage> s[3];
  Maker m;
  for (auto& one : s) {
    one = make_ref<Storage>(64);
    m.get(*one), m.get(*one);
    m.get(*s[0]);  // the one used last stays
  }
  CHECK(packed_bytes() == 2000 && m.made == 3, packed_bytes(), " ", m.made);
  m.get(*s[0]);
  CHECK(m.made == 3, "the last used was forgotten");
  m.get(*s[1]);
  CHECK(m.made == 4, "the longest unused was kept");
  for (int i = 0; i < 3; ++i) CHECK(!m.get(*s[0], 8, 3000), "larger than the limit");
  set_packed_limit(0);
  CHECK(packed_bytes() == 0 && !m.get(*s[0]), packed_bytes());
  set_packed_limit(before);
  CHECK(m.get(*s[0]), "not kept again");
  drop_packed();
  CHECK(packed_bytes() == 0, packed_bytes());
}

TEST(packed_cache_bounds_the_forms_of_one_storage) {
  const auto s = make_ref<Storage>(64);
  Maker m;
  for (int64_t part = 0; part < 40; ++part) m.get(*s, part), m.get(*s, part);
  CHECK(packed_bytes() == 16000, packed_bytes());
}
