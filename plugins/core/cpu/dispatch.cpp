// Which build of the kernels this machine runs, decided once.
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace dcn::cpu {

#define DCN_DECLARE(isa)                                        \
  namespace isa {                                               \
  extern const Kernels kFloat32, kFloat16, kBFloat16, kFloat64; \
  }
DCN_DECLARE(baseline)
#if defined(DCN_X86)
DCN_DECLARE(avx2)
DCN_DECLARE(avx512)
namespace avx512_bf16 {
extern const PairKernels kPairs;
}
#endif
#undef DCN_DECLARE

namespace {

struct InstructionSet {
  const char* name;
  bool available;
  const Kernels *float32, *float16, *bfloat16, *float64;
};

#if defined(DCN_X86)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

bool has_avx512() {
#if defined(DCN_AVX512_EMULATED)
  return has_avx2();
#else
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
}

bool has_avx512_bf16() {
#if defined(DCN_AVX512_EMULATED)
  return has_avx512();
#else
  return has_avx512() && __builtin_cpu_supports("avx512bf16");
#endif
}

// Those of AVX-512, but for what takes pairs.
const Kernels& bfloat16_pairs() {
  static const Kernels kernels = [] {
    Kernels k = avx512::kBFloat16;
    k.k_step = 2;
    k.packed_bytes = k.element_bytes;
    k.pack_panel = avx512_bf16::kPairs.pack_panel;
    k.forward_tile = avx512_bf16::kPairs.forward_tile;
    return k;
  }();
  return kernels;
}
#endif

const InstructionSet& chosen() {
  static const InstructionSet set = [] {
#define DCN_SET(isa, available)                                                      \
  InstructionSet {                                                                   \
    #isa, available, &isa::kFloat32, &isa::kFloat16, &isa::kBFloat16, &isa::kFloat64 \
  }
    const InstructionSet sets[] = {
    // best first
#if defined(DCN_X86)
        {"avx512_bf16", has_avx512_bf16(), &avx512::kFloat32, &avx512::kFloat16, &bfloat16_pairs(),
         &avx512::kFloat64},
        DCN_SET(avx512, has_avx512()),
        DCN_SET(avx2, has_avx2()),
#endif
        DCN_SET(baseline, true)};
#undef DCN_SET
    // For tests: a lesser set than the machine's. A name that cannot run here is passed over.
    const char* wanted = std::getenv("DCN_DEPLOY_ISA");
    for (const InstructionSet& candidate : sets)
      if (candidate.available && wanted && std::strcmp(wanted, candidate.name) == 0) return candidate;
    for (const InstructionSet& candidate : sets)
      if (candidate.available) return candidate;
    return sets[0];
  }();
  return set;
}

}  // namespace

const char* instruction_set() {
  return chosen().name;
}

const Kernels& kernels_for(DType dtype) {
  const InstructionSet& set = chosen();
  switch (dtype) {
    case DType::kFloat16: return *set.float16;
    case DType::kBFloat16: return *set.bfloat16;
    case DType::kFloat64: return *set.float64;
    default: return *set.float32;
  }
}

}  // namespace dcn::cpu
