// Errors of the core. Each class maps to the Python exception of the same name in csrc/python/errors.h.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace nnlib {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct IndexError : Error {
  using Error::Error;
};
struct TypeError : Error {
  using Error::Error;
};
struct ValueError : Error {
  using Error::Error;
};
struct NotImplementedError : Error {
  using Error::Error;
};
struct MemoryError : Error {
  using Error::Error;
};
// A Python exception is already set in the thread; the binding lets it through unchanged.
struct PythonErrorSet : Error {
  PythonErrorSet() : Error("a Python exception is set") {}
};

template <class... Args>
std::string concat(const Args&... args) {
  std::ostringstream s;
  (s << ... << args);
  return s.str();
}

}  // namespace nnlib

#define NNLIB_CHECK_AS(Exc, cond, ...)                                         \
  do {                                                                         \
    if (__builtin_expect(!(cond), 0)) throw Exc(::nnlib::concat(__VA_ARGS__)); \
  } while (0)
// RuntimeError with the concatenated message unless the condition holds.
#define NNLIB_CHECK(cond, ...) NNLIB_CHECK_AS(::nnlib::Error, cond, __VA_ARGS__)
#define NNLIB_CHECK_INDEX(cond, ...) NNLIB_CHECK_AS(::nnlib::IndexError, cond, __VA_ARGS__)
#define NNLIB_CHECK_TYPE(cond, ...) NNLIB_CHECK_AS(::nnlib::TypeError, cond, __VA_ARGS__)
#define NNLIB_CHECK_VALUE(cond, ...) NNLIB_CHECK_AS(::nnlib::ValueError, cond, __VA_ARGS__)
