// The vector layer: everything that depends on the instruction set, in a dozen operations. Written
// with the compilers' vector extensions, so that one source serves SSE2, AVX2, AVX-512 and NEON; the
// translation unit that includes it is compiled once for each, with DCN_ISA as its namespace.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "dtype.h"
#include "inline.h"
#include "sampling.h"

namespace dcn::cpu::DCN_ISA {

// kRowBlock rows of two vectors are summed up in registers, over kDepthBlock products at a time
// (gemm.h). An instruction shuffles two vectors within kShuffledBytes, the same ones of both
// (shuffle.h).
#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kShuffledBytes = 64;
inline constexpr int kRowBlock = 14;  // 14 x 2 accumulators of 32 registers
inline constexpr int kDepthBlock = 2;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kShuffledBytes = 16;
inline constexpr int kRowBlock = 6;  // 6 x 2 accumulators of 16 registers
inline constexpr int kDepthBlock = 2;
#elif defined(__aarch64__)
inline constexpr int kVectorBytes = 16;
inline constexpr int kShuffledBytes = 16;
inline constexpr int kRowBlock = 12;  // 12 x 2 accumulators of 32 registers
inline constexpr int kDepthBlock = 2;
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kShuffledBytes = 16;
inline constexpr int kRowBlock = 6;
inline constexpr int kDepthBlock = 1;  // a product takes a register before it is added
#endif

template <class A>
inline constexpr int kLanes = kVectorBytes / sizeof(A);  // lanes of a full vector
template <int N>
inline constexpr int kAtLeastFour = N < 4 ? 4 : N;
template <class A>
inline constexpr int kFourLanes = kAtLeastFour<kLanes<A>>;

template <class A, int N>
struct VecOf {
  typedef A type __attribute__((vector_size(N * sizeof(A))));
};
template <class A, int N = kLanes<A>>
using Vec = typename VecOf<A, N>::type;

template <class V, class A>
DCN_INLINE V load_vec(const A* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <class V, class A>
DCN_INLINE void store_vec(A* to, V v) {
  __builtin_memcpy(to, &v, sizeof v);
}

template <class A>
inline constexpr int64_t kLine = 64 / sizeof(A);  // elements of a cache line

// Asks for a row of memory ahead of its use.
template <class A>
DCN_INLINE void prefetch_row(const A* row, int64_t count) {
  for (int64_t i = 0; i < count; i += kLine<A>) __builtin_prefetch(row + i);
}

// Asks for a line of memory ahead of its use, to be read or written.
template <class A>
DCN_INLINE void prefetch_near(const A* line) {
  __builtin_prefetch(line);
}

// Asks for a line of memory long ahead of its use: into the second-level cache only.
template <class A>
DCN_INLINE void prefetch_far(const A* line) {
  __builtin_prefetch(line, 0, 2);
}

// Four numbers, in every four lanes of a vector, where one instruction does it.
#if defined(__AVX__)
template <class A, int N>
inline constexpr bool kLoadsFours = N > 4 && N * sizeof(A) <= kVectorBytes;
#else
template <class A, int N>
inline constexpr bool kLoadsFours = false;
#endif
template <class A, int N>
DCN_INLINE Vec<A, N> load_fours(const A* from) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<A, double>)
    return (Vec<A, N>)_mm512_broadcast_f64x4(_mm256_loadu_pd(from));
  else if constexpr (N == 16)
    return (Vec<A, N>)_mm512_broadcast_f32x4(_mm_loadu_ps(from));
#endif
#if defined(__AVX__)
  if constexpr (std::is_same_v<A, float> && N == 8)
    return (Vec<A, N>)_mm256_broadcast_ps((const __m128*)from);
#endif
}

// Two bfloat16, the first one in the lower half: what is multiplied where one instruction adds the
// products of both halves to a float.
using Pair = uint32_t;
template <class E>
inline constexpr int kValues = std::is_same_v<E, Pair> ? 2 : 1;
template <class E>
using Sum = std::conditional_t<std::is_same_v<E, Pair>, float, E>;

// sum + a * b
template <class A>
DCN_INLINE Vec<A> add_product(Vec<A> sum, A a, Vec<A> b) {
  return sum + a * b;
}
#if defined(__AVX512BF16__)
// Denormals count as zero here, those of the operands and those of the sum.
DCN_INLINE Vec<float> add_product(Vec<float> sum, Pair a, Vec<Pair> b) {
  // `a` last: this operand may come from memory, to all lanes.
  return (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)b, (__m512bh)(Vec<Pair>{} + a));
}
#endif

// The instruction for whole vectors of floats where there is one, which GCC does not find by itself
// (GCC 12, with a constant bound); otherwise the same in plain operations.
#if defined(__AVX512F__)
#define DCN_FLOAT_INSTRUCTION(avx512, avx, v, ...) \
  if constexpr (std::is_same_v<decltype(v), Vec<float, 16>>) return (Vec<float, 16>)avx512(__VA_ARGS__);
#elif defined(__AVX__)
#define DCN_FLOAT_INSTRUCTION(avx512, avx, v, ...) \
  if constexpr (std::is_same_v<decltype(v), Vec<float, 8>>) return (Vec<float, 8>)avx(__VA_ARGS__);
#else
#define DCN_FLOAT_INSTRUCTION(avx512, avx, v, ...)
#endif

// The larger (smaller) of both; the bound where the value is NaN.
template <class V>
DCN_INLINE V at_least(V value, V bound) {
  DCN_FLOAT_INSTRUCTION(_mm512_max_ps, _mm256_max_ps, value, value, bound)
  return value > bound ? value : bound;
}
template <class V>
DCN_INLINE V at_most(V value, V bound) {
  DCN_FLOAT_INSTRUCTION(_mm512_min_ps, _mm256_min_ps, value, value, bound)
  return value < bound ? value : bound;
}

// Rounds down what a 32-bit integer can hold.
template <class V>
DCN_INLINE V floor(V v) {
  DCN_FLOAT_INSTRUCTION(_mm512_floor_ps, _mm256_floor_ps, v, v)
  typedef int32_t Int __attribute__((vector_size(sizeof(V) / sizeof(v[0]) * sizeof(int32_t))));
  const V whole = __builtin_convertvector(__builtin_convertvector(v, Int), V);
  return whole + __builtin_convertvector(whole > v, V);  // a true comparison is -1
}
#undef DCN_FLOAT_INSTRUCTION

// N half-precision numbers, as bits, from and to floats, rounded to nearest even.
#if defined(__F16C__)
template <int N>
DCN_INLINE Vec<float, N> load_half(const uint16_t* from) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    return (Vec<float, N>)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from));
#endif
  if constexpr (N == 8) return (Vec<float, N>)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from));
  if constexpr (N == 4) return (Vec<float, N>)_mm_cvtph_ps(_mm_loadl_epi64((const __m128i*)from));
}
template <int N>
DCN_INLINE void store_half(uint16_t* to, Vec<float, N> v) {
#if defined(__AVX512F__)
  if constexpr (N == 16)
    _mm256_storeu_si256((__m256i*)to, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#endif
  if constexpr (N == 8)
    _mm_storeu_si128((__m128i*)to, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
  if constexpr (N == 4)
    _mm_storel_epi64((__m128i*)to, _mm_cvtps_ph((__m128)v, _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__aarch64__)
template <int N>
DCN_INLINE Vec<float, N> load_half(const uint16_t* from) {
  return __builtin_convertvector(load_vec<Vec<__fp16, N>>(from), Vec<float, N>);
}
template <int N>
DCN_INLINE void store_half(uint16_t* to, Vec<float, N> v) {
  store_vec(to, __builtin_convertvector(v, Vec<__fp16, N>));
}
#else
template <int N>
DCN_INLINE Vec<float, N> load_half(const uint16_t* from) {
  float lanes[N];
  for (int i = 0; i < N; ++i) lanes[i] = load(Float16{from[i]});
  return load_vec<Vec<float, N>>(lanes);
}
template <int N>
DCN_INLINE void store_half(uint16_t* to, Vec<float, N> v) {
  float lanes[N];
  store_vec(lanes, v);
  for (int i = 0; i < N; ++i) to[i] = Store<Float16>::from(lanes[i]).bits;
}
#endif

// The upper halves of N floats, as bits.
template <int N>
DCN_INLINE Vec<float, N> load_bfloat(const uint16_t* from) {
  return (Vec<float, N>)(__builtin_convertvector(load_vec<Vec<uint16_t, N>>(from), Vec<uint32_t, N>)
                         << 16);
}
// Rounded to nearest even; a NaN stays one.
template <int N>
DCN_INLINE void store_bfloat(uint16_t* to, Vec<float, N> v) {
#if defined(__AVX512BF16__)
  if constexpr (N == 16) return store_vec(to, _mm512_cvtneps_pbh((__m512)v));  // denormals become zero
#endif
  using Bits = Vec<uint32_t, N>;
  const Bits bits = (Bits)v;
  const Bits rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const Bits quiet = bits >> 16 | 0x40u;
  store_vec(to, __builtin_convertvector(v == v ? rounded : quiet, Vec<uint16_t, N>));
}

}  // namespace dcn::cpu::DCN_ISA

namespace dcn {

// The coordinate arithmetic of sampling.h on whole vectors.
template <class V>
struct VectorNumber {
  static constexpr int kCount = sizeof(V) / sizeof(std::declval<V>()[0]);
  typedef int32_t Int __attribute__((vector_size(kCount * sizeof(int32_t))));
  static DCN_INLINE V splat(std::decay_t<decltype(std::declval<V>()[0])> value) { return V{} + value; }
  static DCN_INLINE Int splat_int(int32_t value) { return Int{} + value; }
  static DCN_INLINE V at_least(V value, V bound) { return cpu::DCN_ISA::at_least(value, bound); }
  static DCN_INLINE V at_most(V value, V bound) { return cpu::DCN_ISA::at_most(value, bound); }
  static DCN_INLINE V floor(V v) { return cpu::DCN_ISA::floor(v); }
  static DCN_INLINE Int to_int(V whole) { return __builtin_convertvector(whole, Int); }
  static DCN_INLINE Int one_if_positive(V v) { return -__builtin_convertvector(v > 0, Int); }
};
template <>
struct Number<cpu::DCN_ISA::Vec<float>> : VectorNumber<cpu::DCN_ISA::Vec<float>> {};
template <>
struct Number<cpu::DCN_ISA::Vec<double>> : VectorNumber<cpu::DCN_ISA::Vec<double>> {};

}  // namespace dcn
