// AVX-512 on a machine without it: the kernels' sources for AVX-512, compiled for AVX2, with SIMDe's
// portable code behind the intrinsics. The compiler includes this file before the first line of a
// source, which then takes its branches for AVX-512. Vectors of 64 bytes become pairs of registers.
//
// Shown are the kernels' shapes and what they ask of each intrinsic; not what the compiler makes of
// them for AVX-512, nor that instructions which flush denormals do so.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/svml.h>  // _mm512_floor_ps

// What Debian 12's version lacks, in halves.
#if !defined(_mm512_cvtph_ps)
inline __m512 emulated_cvtph_ps(__m256i halves) {
  simde__m512_private result;
  result.m256[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
  result.m256[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1));
  return simde__m512_from_private(result);
}
#define _mm512_cvtph_ps(halves) emulated_cvtph_ps(halves)
#endif

#if !defined(_mm512_cvtps_ph)
template <int kRounding>
inline __m256i emulated_cvtps_ph(__m512 floats) {
  const simde__m512_private given = simde__m512_to_private(floats);
  return _mm256_set_m128i(_mm256_cvtps_ph(given.m256[1], kRounding),
                          _mm256_cvtps_ph(given.m256[0], kRounding));
}
#define _mm512_cvtps_ph(floats, rounding) emulated_cvtps_ph<rounding>(floats)
#endif

#if defined(DCN_EMULATED_BF16)
#if !defined(_mm512_cvtneps_pbh)
inline __m256i emulated_cvtneps_pbh(__m512 floats) {
  const simde__m512_private given = simde__m512_to_private(floats);
  simde__m256i_private result;
  for (int i = 0; i < 16; ++i) {
    const uint32_t bits = simde_float32_as_uint32(given.f32[i]);
    const uint32_t odd = bits >> 16 & 1;
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    result.u16[i] = static_cast<uint16_t>(nan ? bits >> 16 | 0x40u : (bits + 0x7fffu + odd) >> 16);
  }
  return simde__m256i_from_private(result);
}
#define _mm512_cvtneps_pbh(floats) emulated_cvtneps_pbh(floats)
#endif
#define __AVX512BF16__ 1
#endif

#define __AVX512F__ 1
