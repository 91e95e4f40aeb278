#include "ops/drivers/packed_cache.h"

#include <cstdlib>
#include <list>
#include <mutex>
#include <vector>

#include "core/error.h"

namespace nnlib::drivers {

namespace {

struct Entry {
  PackedKey key;
  uint32_t writes = 0;  // the storage's count when the memory was last seen
  Packed form;          // null: seen, not kept
  int64_t bytes = 0;
  std::list<Entry*>::iterator place;  // in Cache::recent, where there is a form
};

struct Cache {
  std::mutex mutex;
  std::list<Entry*> recent;  // the entries with a form, the last used first
  int64_t bytes = 0, limit = 256 << 20;

  Cache() {
    if (const char* mb = std::getenv("NNLIB_PACKED_MB")) {
      char* end;
      const long long n = std::strtoll(mb, &end, 10);
      NNLIB_CHECK_VALUE(end != mb && !*end && n >= 0 && n < (1LL << 40),
                        "NNLIB_PACKED_MB: expected a number of megabytes, got '", mb, "'");
      limit = n << 20;
    }
  }
  // The caller holds the lock; memory goes when `gone` does, outside of it.
  void forget(Entry& e, std::vector<Packed>& gone) {
    if (!e.form) return;
    recent.erase(e.place);
    bytes -= e.bytes;
    gone.push_back(std::move(e.form));
    e.form = nullptr;
  }
  void make_room(int64_t most, std::vector<Packed>& gone) {
    while (bytes > most) forget(*recent.back(), gone);
  }
};

// Never destroyed: storages may die after static objects do.
Cache& cache() {
  static Cache* c = new Cache;
  return *c;
}

struct Companion : StorageCompanion {
  std::list<Entry> entries;

  ~Companion() override {
    std::vector<Packed> gone;
    std::lock_guard<std::mutex> lock(cache().mutex);
    for (Entry& e : entries) cache().forget(e, gone);
  }
  Entry* find(const PackedKey& key) {
    for (Entry& e : entries)
      if (e.key == key) return &e;
    return nullptr;
  }
};

// Forms of one storage that are remembered: a fused weight is used in a few parts, not in hundreds.
constexpr size_t kFormsEach = 16;

Companion& companion(Storage& s) {
  if (!s.companion) s.companion = std::make_unique<Companion>();
  return static_cast<Companion&>(*s.companion);
}

Packed new_memory(int64_t bytes) {
  return Packed(allocate((size_t)bytes), [bytes](void* p) { deallocate(p, (size_t)bytes); });
}

}  // namespace

Packed packed_weight(Storage& weight, const PackedKey& key, int64_t bytes,
                     const std::function<void(void*)>& make) {
  return kept_form(weight, key, bytes, [&] {
    Packed form = new_memory(bytes);
    make(const_cast<void*>(form.get()));
    return form;
  });
}

Packed kept_form(Storage& weight, const PackedKey& key, int64_t bytes, const std::function<Packed()>& make) {
  if (!weight.counts_writes() || bytes <= 0) return nullptr;
  Cache& c = cache();
  const uint32_t writes = weight.writes.load(std::memory_order_acquire);
  std::vector<Packed> gone;  // declared before the lock: freed after it
  {
    std::lock_guard<std::mutex> lock(c.mutex);
    if (bytes > c.limit) return nullptr;
    Companion& known = companion(weight);
    Entry* e = known.find(key);
    if (!e) {
      if (known.entries.size() == kFormsEach) {
        c.forget(known.entries.back(), gone);
        known.entries.pop_back();
      }
      known.entries.push_front({key, writes, nullptr, 0, {}});
      return nullptr;
    }
    if (e->writes != writes) {
      c.forget(*e, gone);
      e->writes = writes;
      return nullptr;
    }
    if (e->form) {
      c.recent.splice(c.recent.begin(), c.recent, e->place);
      return e->form;
    }
  }
  const Packed form = make();
  std::lock_guard<std::mutex> lock(c.mutex);
  Entry* e = companion(weight).find(key);
  if (e && !e->form && e->writes == writes && weight.counts_writes() && bytes <= c.limit) {
    c.make_room(c.limit - bytes, gone);
    c.recent.push_front(e);
    e->place = c.recent.begin();
    e->form = form;
    e->bytes = bytes;
    c.bytes += bytes;
  }
  return form;
}

void set_packed_limit(int64_t bytes) {
  NNLIB_CHECK_VALUE(bytes >= 0, "the limit of packed weights must not be negative, got ", bytes);
  std::vector<Packed> gone;
  std::lock_guard<std::mutex> lock(cache().mutex);
  cache().limit = bytes;
  cache().make_room(bytes, gone);
}

int64_t packed_limit() {
  std::lock_guard<std::mutex> lock(cache().mutex);
  return cache().limit;
}

int64_t packed_bytes() {
  std::lock_guard<std::mutex> lock(cache().mutex);
  return cache().bytes;
}

void drop_packed() {
  std::vector<Packed> gone;
  std::lock_guard<std::mutex> lock(cache().mutex);
  cache().make_room(0, gone);
}

}  // namespace nnlib::drivers
