// The vector layer: everything that depends on the instruction set, in a dozen operations. Written
// with the compilers' vector extensions, so that one source serves SSE2, AVX2, AVX-512 and NEON; the
// translation unit that includes it is compiled once for each, with DCN_ISA as its namespace.
#pragma once

#include <cstdint>
#include <utility>

#include "inline.h"

namespace dcn::cpu::DCN_ISA {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kRowBlock = 14;  // 14 x 2 accumulators of 32 registers
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kRowBlock = 6;  // 6 x 2 accumulators of 16 registers
#elif defined(__aarch64__)
inline constexpr int kVectorBytes = 16;
inline constexpr int kRowBlock = 12;  // 12 x 2 accumulators of 32 registers
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kRowBlock = 6;
#endif

template <class A>
inline constexpr int kLanes = kVectorBytes / sizeof(A);  // lanes of a full vector

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

template <class A, int N>
DCN_INLINE A sum_lanes(typename VecOf<A, N>::type v) {
  A lanes[N];
  store_vec(lanes, v);
  for (int width = N / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

// a0 b0 a1 b1 ... of the lower (upper) halves of a and b.
template <class V, int N, size_t... I>
DCN_INLINE V interleave_lower(V a, V b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (I % 2 ? N + I / 2 : I / 2)...);
}
template <class V, int N, size_t... I>
DCN_INLINE V interleave_upper(V a, V b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (I % 2 ? N + N / 2 + I / 2 : N / 2 + I / 2)...);
}

// Transposes N vectors of N lanes: log2(N) rounds of interleaving row i with row i + N/2.
template <class A, int N>
DCN_INLINE void transpose(Vec<A, N> (&rows)[N]) {
  using V = Vec<A, N>;
  for (int round = 1; round < N; round *= 2) {
    V next[N];
    for (int i = 0; i < N / 2; ++i) {
      next[2 * i] = interleave_lower<V, N>(rows[i], rows[i + N / 2], std::make_index_sequence<N>{});
      next[2 * i + 1] = interleave_upper<V, N>(rows[i], rows[i + N / 2], std::make_index_sequence<N>{});
    }
    for (int i = 0; i < N; ++i) rows[i] = next[i];
  }
}

}  // namespace dcn::cpu::DCN_ISA
