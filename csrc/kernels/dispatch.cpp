#include "kernels/dispatch.h"

#include <stdlib.h>
#include <string.h>

#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace nnlib::kernels {

namespace reference {
extern const Table kernel_table;
}
#if defined(__x86_64__)
namespace baseline {
extern const Table kernel_table;
}
namespace avx2 {
extern const Table kernel_table;
}
#if NNLIB_AVX512
namespace avx512 {
extern const Table kernel_table;
}
namespace avx512_bf16 {
void use_bf16(Table* t);
}
namespace amx {
void use_bf16(Table* t);
}
#endif
#elif defined(__aarch64__)
namespace neon {
extern const Table kernel_table;
}
#else
namespace baseline {
extern const Table kernel_table;
}
#endif

namespace {

#if defined(__x86_64__)
// __builtin_cpu_supports looks at CPUID and at XGETBV: the operating system has to save the registers too.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

#if NNLIB_AVX512
#if NNLIB_IMITATE
// Functions on AVX2 stand in for the instructions.
bool has_avx512() { return has_avx2(); }
bool has_avx512_bf16() { return has_avx2(); }
bool has_amx() { return has_avx2(); }
#else
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool has_avx512_bf16() {
  unsigned a, b, c, d;
  return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
}

// AMX takes three yeses: the processor's (CPUID), the kernel's support of the tile state (XCR0), and its
// permission for this process, since the state is 8 KiB a thread (arch_prctl).
bool has_amx() {
#if defined(__linux__)
  if (!has_avx512()) return false;
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const bool tile = d & (1u << 24), bf16 = d & (1u << 22);
  if (!tile || !bf16) return false;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const unsigned tile_state = (1u << 17) | (1u << 18);
  if ((low & tile_state) != tile_state) return false;
  const long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}
#endif  // NNLIB_IMITATE

// AVX-512's kernels but for those that are better on bfloat16: compiling all of them once more would give the
// same code.
Table with_bf16(void (*use)(Table*)) {
  Table made = avx512::kernel_table;
  use(&made);
  return made;
}
#endif  // NNLIB_AVX512
#endif

Isa named_isa(const char* name) {
  for (int i = 0; i < kIsaCount; ++i) {
    if (strcmp(name, isa_name(Isa(i))) == 0) return Isa(i);
  }
  throw std::runtime_error(
      "NNLIB_ISA: expected reference, baseline, avx2, avx512, avx512_bf16, amx or neon, got '" +
      std::string(name) + "'");
}

Isa choose_isa() {
  const char* forced = getenv("NNLIB_ISA");
  if (forced && *forced) {
    const Isa isa = named_isa(forced);
    if (!isa_available(isa)) {
      throw std::runtime_error("NNLIB_ISA: '" + std::string(forced) + "' does not run on this processor");
    }
    return isa;
  }
  Isa all[kIsaCount];
  return all[available_isas(all) - 1];
}

}  // namespace

namespace detail {

std::atomic<const Table*> chosen_table{nullptr};

const Table& choose_table() {
  const Table* t = table_for(active_isa());
  chosen_table.store(t, std::memory_order_release);
  return *t;
}

}  // namespace detail

Isa active_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

bool isa_available(Isa isa) { return table_for(isa) != nullptr; }

const Table* table_for(Isa isa) {
  if (isa == Isa::Reference) return &reference::kernel_table;
#if defined(__x86_64__)
  static const bool avx2_runs = has_avx2();
  if (isa == Isa::Baseline) return &baseline::kernel_table;
  if (isa == Isa::Avx2 && avx2_runs) return &avx2::kernel_table;
#if NNLIB_AVX512
  static const bool avx512_runs = has_avx512(), bf16_runs = has_avx512_bf16(), amx_runs = has_amx();
  if (isa == Isa::Avx512 && avx512_runs) return &avx512::kernel_table;
  if (isa == Isa::Avx512Bf16 && bf16_runs) {
    static const Table made = with_bf16(avx512_bf16::use_bf16);
    return &made;
  }
  if (isa == Isa::Amx && amx_runs) {
    static const Table made = with_bf16(amx::use_bf16);
    return &made;
  }
#endif
#elif defined(__aarch64__)
  if (isa == Isa::Neon) return &neon::kernel_table;
#else
  if (isa == Isa::Baseline) return &baseline::kernel_table;
#endif
  return nullptr;
}

const char* isa_name(Isa isa) {
  static const char* const names[kIsaCount] = {"reference",   "baseline", "avx2", "avx512",
                                               "avx512_bf16", "amx",      "neon"};
  return names[int(isa)];
}

int available_isas(Isa* out) {
  int count = 0;
  for (int i = 0; i < kIsaCount; ++i) {
    if (isa_available(Isa(i))) out[count++] = Isa(i);
  }
  return count;
}

}  // namespace nnlib::kernels
