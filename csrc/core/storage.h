// A block of memory that tensors share, with the counters of in-place changes.
#pragma once
#include <atomic>
#include <cstring>
#include <functional>
#include <memory>

#include "core/allocator.h"
#include "core/refcount.h"

namespace nnlib {

// What somebody keeps beside a storage; destroyed when the memory goes or moves.
class StorageCompanion {
 public:
  virtual ~StorageCompanion() = default;
};

class Storage : public RefCounted {
 public:
  explicit Storage(size_t nbytes)
      : data_(nbytes ? allocate(nbytes) : nullptr), nbytes_(nbytes), owned_(true) {}
  // Memory of somebody else (NumPy, DLPack, shared memory); `release` is called when the last tensor lets go.
  Storage(void* data, size_t nbytes, std::function<void()> release, bool writable = true)
      : data_(data), nbytes_(nbytes), release_(std::move(release)), writable_(writable) {}
  ~Storage() override {
    companion.reset();
    free();
  }

  void* data() const { return data_; }
  size_t nbytes() const { return nbytes_; }
  bool owned() const { return owned_; }
  bool writable() const { return writable_; }

  // Keeps the bytes that fit. Only for memory of our own.
  void resize(size_t nbytes) {
    void* p = nbytes ? allocate(nbytes) : nullptr;
    companion.reset();
    if (p && data_) std::memcpy(p, data_, nbytes < nbytes_ ? nbytes : nbytes_);
    free();
    data_ = p;
    nbytes_ = nbytes;
    owned_ = true;
    release_ = nullptr;
  }

  // The memory is somebody's who will want it back, and then moves this storage out of it.
  void lend() { lent_ = true; }
  bool is_lent() const { return lent_; }
  void move_out() {
    lent_ = false;
    resize(nbytes_);
  }

  std::atomic<uint32_t> version{0};

  // Counts every in-place change, those by inference tensors and by aliases with versions of their own too.
  std::atomic<uint32_t> writes{0};
  // Whoever hands out the address (NumPy, DLPack, data_ptr) calls this first: changes may go uncounted from
  // now on, and lent memory is left.
  void expose() {
    if (lent_) move_out();
    exposed_.store(true, std::memory_order_relaxed);
  }
  // True where no change can go uncounted: memory of our own that nobody else can reach.
  bool counts_writes() const { return owned_ && !exposed_.load(std::memory_order_relaxed); }
  // Belongs to ops/drivers/packed_cache, whose lock guards it.
  std::unique_ptr<StorageCompanion> companion;

 private:
  void free() {
    if (owned_) deallocate(data_, nbytes_);
    if (release_) release_();
  }
  void* data_;
  size_t nbytes_;
  bool owned_ = false, lent_ = false;
  std::function<void()> release_;
  bool writable_ = true;
  std::atomic<bool> exposed_{false};
};

}  // namespace nnlib
