// Vectors of the arithmetic type from and to any storage type.
#pragma once

#include "dtype.h"
#include "vec.h"

namespace dcn::cpu::DCN_ISA {

template <class T, int N>
DCN_INLINE Vec<Arithmetic<T>, N> load_whole(const T* from) {
  using A = Arithmetic<T>;
  if constexpr (std::is_same_v<T, A>) {
    return load_vec<Vec<A, N>>(from);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return load_bfloat<N>(&from->bits);
  } else {
    return load_half<N>(&from->bits);
  }
}

template <class T, int N>
DCN_INLINE void store_whole(T* to, Vec<Arithmetic<T>, N> v) {
  using A = Arithmetic<T>;
  if constexpr (std::is_same_v<T, A>) {
    store_vec(to, v);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    store_bfloat<N>(&to->bits, v);
  } else {
    store_half<N>(&to->bits, v);
  }
}

// Calls f(i, n) for runs of n elements from i on: N, where there are as many at all. The last run
// begins early enough: what it computes twice comes out the same, and sooner than lane by lane.
template <int N, class F>
DCN_INLINE void for_vectors(int64_t count, const F& f) {
  int64_t i = 0;
  for (; i + N <= count; i += N) f(i, N);
  if (i < count) count >= N ? f(count - N, N) : f(0, count);
}

// The first `count` lanes; the others are zero.
template <class T, int N>
DCN_INLINE Vec<Arithmetic<T>, N> load_lanes(const T* from, int64_t count) {
  if (count >= N) return load_whole<T, N>(from);
  T lanes[N] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return load_whole<T, N>(lanes);
}

template <class T, int N>
DCN_INLINE void store_lanes(T* to, Vec<Arithmetic<T>, N> v, int64_t count) {
  if (count >= N) return store_whole<T, N>(to, v);
  T lanes[N];
  store_whole<T, N>(lanes, v);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
}

}  // namespace dcn::cpu::DCN_ISA
