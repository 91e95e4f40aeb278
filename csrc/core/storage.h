// A block of memory that tensors share, with the counter of in-place changes.
#pragma once
#include <atomic>
#include <cstring>
#include <functional>

#include "core/allocator.h"
#include "core/refcount.h"

namespace nnlib {

class Storage : public RefCounted {
 public:
  explicit Storage(size_t nbytes)
      : data_(nbytes ? allocate(nbytes) : nullptr), nbytes_(nbytes), owned_(true) {}
  // Memory of somebody else (NumPy, DLPack, shared memory); `release` is called when the last tensor lets go.
  Storage(void* data, size_t nbytes, std::function<void()> release, bool writable = true)
      : data_(data), nbytes_(nbytes), release_(std::move(release)), writable_(writable) {}
  ~Storage() override { free(); }

  void* data() const { return data_; }
  size_t nbytes() const { return nbytes_; }
  bool owned() const { return owned_; }
  bool writable() const { return writable_; }

  // Keeps the bytes that fit. Only for memory of our own.
  void resize(size_t nbytes) {
    void* p = nbytes ? allocate(nbytes) : nullptr;
    if (p && data_) std::memcpy(p, data_, nbytes < nbytes_ ? nbytes : nbytes_);
    free();
    data_ = p;
    nbytes_ = nbytes;
    owned_ = true;
    release_ = nullptr;
  }

  std::atomic<uint32_t> version{0};

 private:
  void free() {
    if (owned_) deallocate(data_, nbytes_);
    if (release_) release_();
  }
  void* data_;
  size_t nbytes_;
  bool owned_ = false;
  std::function<void()> release_;
  bool writable_ = true;
};

}  // namespace nnlib
