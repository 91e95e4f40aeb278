// Sizes, strides and other short integer lists: up to six stand in place, more on the heap.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <ostream>
#include <vector>

namespace nnlib {

class Dims {
 public:
  static constexpr int kInline = 6;
  Dims() = default;
  Dims(std::initializer_list<int64_t> l) { assign(l.begin(), l.size()); }
  Dims(const std::vector<int64_t>& v) { assign(v.data(), v.size()); }
  Dims(const int64_t* p, size_t n) { assign(p, n); }
  Dims(size_t n, int64_t value) {
    resize(n);
    std::fill(begin(), end(), value);
  }
  Dims(const Dims& o) { assign(o.data(), o.size()); }
  Dims(Dims&& o) noexcept { steal(o); }
  Dims& operator=(const Dims& o) {
    if (this != &o) assign(o.data(), o.size());
    return *this;
  }
  Dims& operator=(Dims&& o) noexcept {
    if (this != &o) {
      delete[] heap_;
      steal(o);
    }
    return *this;
  }
  ~Dims() { delete[] heap_; }

  size_t size() const { return n_; }
  int ssize() const { return (int)n_; }
  bool empty() const { return n_ == 0; }
  int64_t* data() { return heap_ ? heap_ : in_; }
  const int64_t* data() const { return heap_ ? heap_ : in_; }
  int64_t* begin() { return data(); }
  int64_t* end() { return data() + n_; }
  const int64_t* begin() const { return data(); }
  const int64_t* end() const { return data() + n_; }
  int64_t& operator[](size_t i) { return data()[i]; }
  int64_t operator[](size_t i) const { return data()[i]; }
  int64_t back() const { return data()[n_ - 1]; }
  int64_t& back() { return data()[n_ - 1]; }
  int64_t front() const { return data()[0]; }

  void resize(size_t n) {
    reserve(n);
    for (size_t i = n_; i < n; i++) data()[i] = 0;
    n_ = (uint32_t)n;
  }
  void push_back(int64_t v) {
    reserve(n_ + 1);
    data()[n_++] = v;
  }
  void pop_back() { n_--; }
  void insert(size_t at, int64_t v) {
    push_back(v);
    std::rotate(begin() + at, end() - 1, end());
  }
  void erase(size_t at) {
    std::copy(begin() + at + 1, end(), begin() + at);
    n_--;
  }
  void clear() { n_ = 0; }
  std::vector<int64_t> vec() const { return std::vector<int64_t>(begin(), end()); }
  bool operator==(const Dims& o) const { return n_ == o.n_ && std::equal(begin(), end(), o.begin()); }
  bool operator!=(const Dims& o) const { return !(*this == o); }

 private:
  void assign(const int64_t* p, size_t n) {
    reserve(n);
    if (n) std::memmove(data(), p, n * sizeof(int64_t));
    n_ = (uint32_t)n;
  }
  void reserve(size_t n) {
    if (n <= cap_) return;
    size_t cap = std::max<size_t>(n, 2 * cap_);
    int64_t* p = new int64_t[cap];
    std::copy(begin(), end(), p);
    delete[] heap_;
    heap_ = p;
    cap_ = (uint32_t)cap;
  }
  void steal(Dims& o) {
    n_ = o.n_;
    cap_ = o.cap_;
    heap_ = o.heap_;
    if (!heap_) std::copy(o.in_, o.in_ + n_, in_);
    o.heap_ = nullptr;
    o.n_ = 0;
    o.cap_ = kInline;
  }

  uint32_t n_ = 0, cap_ = kInline;
  int64_t* heap_ = nullptr;
  int64_t in_[kInline];
};

// Prints as PyTorch's messages do: [2, 3].
inline std::ostream& operator<<(std::ostream& s, const Dims& d) {
  s << '[';
  for (size_t i = 0; i < d.size(); i++) s << (i ? ", " : "") << d[i];
  return s << ']';
}

}  // namespace nnlib
