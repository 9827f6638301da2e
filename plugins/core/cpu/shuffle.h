// Lanes of vectors in other orders: what the kernels transpose, interleave and add across lanes.
// Written with the compilers' shuffles, like the rest of the vector layer.
#pragma once

#include <utility>

#include "vec.h"

namespace dcn::cpu::DCN_ISA {

// Rows and lanes of the blocks that images are transposed in.
template <class A>
inline constexpr int kTransposed = kLanes<A> < 8 ? kLanes<A> : 8;

// Elements that one instruction moves between two vectors (kShuffledBytes): a block.
template <class A, int N>
inline constexpr int kBlock = N * sizeof(A) < kShuffledBytes ? N : kShuffledBytes / sizeof(A);

// a0 b0 a1 b1 ... of the lower (upper) halves of each block of a and b.
template <class A, int N, bool kUpper, int B = kBlock<A, N>, size_t... I>
DCN_INLINE Vec<A, N> interleave(Vec<A, N> a, Vec<A, N> b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (I % 2 * N + I / B * B + kUpper * B / 2 + I % B / 2)...);
}

// And back: the even (odd) elements of each block of a, then of b.
template <class A, int N, bool kOdd, size_t... I>
DCN_INLINE Vec<A, N> every_second(Vec<A, N> a, Vec<A, N> b, std::index_sequence<I...>) {
  constexpr int B = kBlock<A, N>;
  return __builtin_shufflevector(a, b, (I % B / (B / 2) * N + I / B * B + I % (B / 2) * 2 + kOdd)...);
}

// Every first (second) of two runs of S elements, of a and b in turn.
template <class A, int N, int S, bool kSecond, size_t... I>
DCN_INLINE Vec<A, N> exchange(Vec<A, N> a, Vec<A, N> b, std::index_sequence<I...>) {
  return __builtin_shufflevector(a, b, (I / S % 2 * (N - S) + I + kSecond * S)...);
}

// Blocks of S elements on both sides of the diagonal change places; so do those of 2S.
template <class A, int N, int S>
DCN_INLINE void exchange_blocks(Vec<A, N> (&rows)[N]) {
  if constexpr (S < N) {
    const auto index = std::make_index_sequence<N>{};
    for (int i = 0; i < N; ++i) {
      if (i / S % 2) continue;
      const Vec<A, N> above = rows[i], below = rows[i + S];
      rows[i] = exchange<A, N, S, false>(above, below, index);
      rows[i + S] = exchange<A, N, S, true>(above, below, index);
    }
    exchange_blocks<A, N, 2 * S>(rows);
  }
}

// Transposes N vectors of N lanes: first the blocks, each in log2(B) rounds of interleaving its row i
// with its row i + B/2, then where they are.
template <class A, int N>
DCN_INLINE void transpose(Vec<A, N> (&rows)[N]) {
  constexpr int B = kBlock<A, N>;
  const auto index = std::make_index_sequence<N>{};
  for (int round = 1; round < B; round *= 2) {
    Vec<A, N> next[N];
    for (int block = 0; block < N; block += B)
      for (int i = 0; i < B / 2; ++i) {
        const Vec<A, N> a = rows[block + i], b = rows[block + i + B / 2];
        next[block + 2 * i] = interleave<A, N, false>(a, b, index);
        next[block + 2 * i + 1] = interleave<A, N, true>(a, b, index);
      }
    for (int i = 0; i < N; ++i) rows[i] = next[i];
  }
  exchange_blocks<A, N, B>(rows);
}

// Four vectors to N rows of four: lane i of each in row i.
template <class A, int N>
DCN_INLINE void store_interleaved(A* to, Vec<A, N> a, Vec<A, N> b, Vec<A, N> c, Vec<A, N> d) {
  using V = Vec<A, N>;
  constexpr int B = kBlock<A, N>;
  const auto index = std::make_index_sequence<N>{};
  const V ac_lower = interleave<A, N, false>(a, c, index),
          ac_upper = interleave<A, N, true>(a, c, index);
  const V bd_lower = interleave<A, N, false>(b, d, index),
          bd_upper = interleave<A, N, true>(b, d, index);
  const V rows[4] = {interleave<A, N, false>(ac_lower, bd_lower, index),
                     interleave<A, N, true>(ac_lower, bd_lower, index),
                     interleave<A, N, false>(ac_upper, bd_upper, index),
                     interleave<A, N, true>(ac_upper, bd_upper, index)};
  for (int i = 0; i < 4; ++i) {
    if constexpr (B == N)
      store_vec(to + i * N, rows[i]);
    else {
      static_assert(2 * B == N);
      const V even = rows[i % 2 * 2], odd = rows[i % 2 * 2 + 1];
      store_vec(to + i * N, i < 2 ? exchange<A, N, B, false>(even, odd, index)
                                  : exchange<A, N, B, true>(even, odd, index));
    }
  }
}

// And back.
template <class A, int N>
DCN_INLINE void load_interleaved(const A* from, Vec<A, N>* a, Vec<A, N>* b, Vec<A, N>* c,
                                 Vec<A, N>* d) {
  using V = Vec<A, N>;
  constexpr int B = kBlock<A, N>;
  const auto index = std::make_index_sequence<N>{};
  V rows[4];
  for (int i = 0; i < 4; ++i) rows[i] = load_vec<V>(from + i * N);
  if constexpr (B < N) {
    static_assert(2 * B == N);
    const V lower[2] = {rows[0], rows[1]}, upper[2] = {rows[2], rows[3]};
    for (int i = 0; i < 2; ++i) {
      rows[2 * i] = exchange<A, N, B, false>(lower[i], upper[i], index);
      rows[2 * i + 1] = exchange<A, N, B, true>(lower[i], upper[i], index);
    }
  }
  const V ac_lower = every_second<A, N, false>(rows[0], rows[1], index);
  const V ac_upper = every_second<A, N, false>(rows[2], rows[3], index);
  const V bd_lower = every_second<A, N, true>(rows[0], rows[1], index);
  const V bd_upper = every_second<A, N, true>(rows[2], rows[3], index);
  *a = every_second<A, N, false>(ac_lower, ac_upper, index);
  *c = every_second<A, N, true>(ac_lower, ac_upper, index);
  *b = every_second<A, N, false>(bd_lower, bd_upper, index);
  *d = every_second<A, N, true>(bd_lower, bd_upper, index);
}

// The first `count` lanes; the others are zero.
template <class A, int N>
DCN_INLINE Vec<A, N> first_lanes(Vec<A, N> v, int64_t count) {
  using Index = std::conditional_t<sizeof(A) == 8, int64_t, int32_t>;
  Index lanes[N];
  for (int i = 0; i < N; ++i) lanes[i] = i;
  return load_vec<Vec<Index, N>>(lanes) < static_cast<Index>(count) ? v : Vec<A, N>{};
}

template <class A, int N, class V, size_t... I>
DCN_INLINE Vec<A, N> lower_lanes(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, I...);
}
// The first N lanes.
template <class A, int N, class V>
DCN_INLINE Vec<A, N> lower_lanes(V v) {
  return lower_lanes<A, N>(v, std::make_index_sequence<N>{});
}

template <class A, int N, size_t... I>
DCN_INLINE void load_each_to_all(const A* from, Vec<A, N> (&to)[4], std::index_sequence<I...>) {
  const Vec<A, N> fours = load_fours<A, N>(from);
  to[0] = __builtin_shufflevector(fours, fours, (I / 4 * 4)...);
  to[1] = __builtin_shufflevector(fours, fours, (I / 4 * 4 + 1)...);
  to[2] = __builtin_shufflevector(fours, fours, (I / 4 * 4 + 2)...);
  to[3] = __builtin_shufflevector(fours, fours, (I / 4 * 4 + 3)...);
}
// Four numbers, each in all lanes of a vector.
template <class A, int N>
DCN_INLINE void load_each_to_all(const A* from, Vec<A, N> (&to)[4]) {
  // One load, and not four: a core shuffles besides loading.
  if constexpr (kLoadsFours<A, N>)
    load_each_to_all<A, N>(from, to, std::make_index_sequence<N>{});
  else
    for (int i = 0; i < 4; ++i) to[i] = from[i] - Vec<A, N>{};
}

template <class A, int N, size_t... I>
DCN_INLINE Vec<A, N / 2> add_halves(Vec<A, N> v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, I...) + __builtin_shufflevector(v, v, (I + N / 2)...);
}

// The sum of all runs of four lanes.
template <class A, int N>
DCN_INLINE Vec<A, 4> add_fours(Vec<A, N> v) {
  if constexpr (N == 4)
    return v;
  else
    return add_fours<A, N / 2>(add_halves<A, N>(v, std::make_index_sequence<N / 2>{}));
}

// Of every four lanes: the sums of lanes 0 and 2 of a, of b, then of lanes 1 and 3.
template <class A, int N>
DCN_INLINE Vec<A, N> add_interleaved(Vec<A, N> a, Vec<A, N> b) {
  const auto index = std::make_index_sequence<N>{};
  return interleave<A, N, false, 4>(a, b, index) + interleave<A, N, true, 4>(a, b, index);
}

// The sums of four vectors, in a vector of four.
template <class A, int N>
DCN_INLINE Vec<A, 4> sum_each(Vec<A, N> a, Vec<A, N> b, Vec<A, N> c, Vec<A, N> d) {
  const Vec<A, N> ac = add_interleaved<A, N>(a, c), bd = add_interleaved<A, N>(b, d);
  return add_fours<A, N>(add_interleaved<A, N>(ac, bd));
}

}  // namespace dcn::cpu::DCN_ISA
