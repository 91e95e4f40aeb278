// Which table of kernels this process uses. The processor is looked at once; the environment variable
// NNLIB_ISA = reference | baseline | avx2 | avx512 | avx512_bf16 | amx | neon forces a table.
#pragma once
#include <atomic>

#include "kernels/table.h"

namespace nnlib::kernels {

enum class Isa { Reference, Baseline, Avx2, Avx512, Avx512Bf16, Amx, Neon };
constexpr int kIsaCount = 7;

namespace detail {
extern std::atomic<const Table*> chosen_table;
const Table& choose_table();
}  // namespace detail

// The table in use. Throws std::runtime_error when NNLIB_ISA names no set, or one that this processor lacks.
inline const Table& table() {
  const Table* t = detail::chosen_table.load(std::memory_order_acquire);
  return t ? *t : detail::choose_table();
}

// The instruction set whose table is in use.
Isa active_isa();

// The table of one instruction set; null where the build or the processor lacks it.
const Table* table_for(Isa isa);

// Whether the processor and the operating system can run the set, and the build has it.
bool isa_available(Isa isa);

// "reference", "baseline", "avx2", "avx512", "avx512_bf16", "amx" or "neon".
const char* isa_name(Isa isa);

// All sets that can be forced here, the best last: the names go into `out` (at least kIsaCount places).
int available_isas(Isa* out);

}  // namespace nnlib::kernels
