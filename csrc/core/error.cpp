#include "core/error.h"

#include <sstream>

namespace nnlib {

std::string concat_parts(std::initializer_list<MessagePart> parts) {
  std::ostringstream s;
  for (const MessagePart& part : parts) {
    if (part.print) {
      part.print(s, part.value);
    } else {
      s << static_cast<const char*>(part.value);
    }
  }
  return s.str();
}

template <class E>
void throw_parts(std::initializer_list<MessagePart> parts) {
  throw E(concat_parts(parts));
}
#define NNLIB_INSTANTIATE(E) template void throw_parts<E>(std::initializer_list<MessagePart>);
NNLIB_INSTANTIATE(Error)
NNLIB_INSTANTIATE(IndexError)
NNLIB_INSTANTIATE(TypeError)
NNLIB_INSTANTIATE(ValueError)
NNLIB_INSTANTIATE(NotImplementedError)
NNLIB_INSTANTIATE(MemoryError)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib
