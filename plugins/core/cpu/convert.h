// Vectors of the arithmetic type from and to any storage type.
#pragma once

#include "dtype.h"
#include "vec.h"

namespace dcn::cpu::DCN_ISA {

// The first `count` lanes; the others are zero.
template <class T, int N>
DCN_INLINE Vec<Arithmetic<T>, N> load_lanes(const T* from, int64_t count) {
  using A = Arithmetic<T>;
  if constexpr (sizeof(T) == sizeof(A))
    if (count >= N) return load_vec<Vec<A, N>>(from);
  A lanes[N] = {};
  if (count >= N) {
    for (int i = 0; i < N; ++i) lanes[i] = load(from[i]);
  } else {
    for (int i = 0; i < count; ++i) lanes[i] = load(from[i]);
  }
  return load_vec<Vec<A, N>>(lanes);
}

template <class T, int N>
DCN_INLINE void store_lanes(T* to, Vec<Arithmetic<T>, N> v, int64_t count) {
  using A = Arithmetic<T>;
  if constexpr (sizeof(T) == sizeof(A))
    if (count >= N) return store_vec(to, v);
  A lanes[N];
  store_vec(lanes, v);
  if (count >= N) {
    for (int i = 0; i < N; ++i) to[i] = Store<T>::from(lanes[i]);
  } else {
    for (int i = 0; i < count; ++i) to[i] = Store<T>::from(lanes[i]);
  }
}

}  // namespace dcn::cpu::DCN_ISA
