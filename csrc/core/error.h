// Errors of the core. Each class maps to the Python exception of the same name in csrc/python/errors.h.
#pragma once
#include <initializer_list>
#include <ostream>
#include <stdexcept>
#include <string>
#include <type_traits>

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

// A part of a message. Messages are put together in one place: the code of a check is a few addresses.
struct MessagePart {
  void (*print)(std::ostream& s, const void* value);  // null: value is text
  const void* value;
};
template <class T>
void print_part(std::ostream& s, const void* value) {
  s << *static_cast<const T*>(value);
}
template <class T>
inline MessagePart message_part(const T& value) {
  if constexpr (std::is_convertible_v<const T&, const char*>) {
    return {nullptr, static_cast<const char*>(value)};
  } else {
    return {print_part<T>, &value};
  }
}

std::string concat_parts(std::initializer_list<MessagePart> parts);
template <class... Args>
inline std::string concat(const Args&... args) {
  return concat_parts({message_part(args)...});
}

// Defined for the classes above.
template <class E>
[[noreturn, gnu::cold]] void throw_parts(std::initializer_list<MessagePart> parts);
template <class E, class... Args>
[[noreturn, gnu::always_inline]] inline void throw_message(const Args&... args) {
  throw_parts<E>({message_part(args)...});
}

}  // namespace nnlib

#define NNLIB_CHECK_AS(Exc, cond, ...)                                          \
  do {                                                                          \
    if (__builtin_expect(!(cond), 0)) ::nnlib::throw_message<Exc>(__VA_ARGS__); \
  } while (0)
// RuntimeError with the concatenated message unless the condition holds.
#define NNLIB_CHECK(cond, ...) NNLIB_CHECK_AS(::nnlib::Error, cond, __VA_ARGS__)
#define NNLIB_CHECK_INDEX(cond, ...) NNLIB_CHECK_AS(::nnlib::IndexError, cond, __VA_ARGS__)
#define NNLIB_CHECK_TYPE(cond, ...) NNLIB_CHECK_AS(::nnlib::TypeError, cond, __VA_ARGS__)
#define NNLIB_CHECK_VALUE(cond, ...) NNLIB_CHECK_AS(::nnlib::ValueError, cond, __VA_ARGS__)
