// What the fused forward stores of a sample, and how it multiplies: one type per arithmetic. A slice is
// 32 bytes of the K dimension of a warp's tile: a [16 * kRows, slice] times b [slice, 8 * kColumns].
#pragma once

#include <cstdint>

#include "dtype.h"
#include "warp.h"

namespace dcn::cuda {

// Float16, BFloat16: products in halves, sums in float32.
template <class T>
struct HalfProducts {
  using Element = T;
  static constexpr int kWordElements = 2;

  // The elements of a 32-bit word, as loaded from the image.
  static __device__ __forceinline__ void unpack(uint32_t word, float (&value)[2]) {
    const float2 pair = load_pair<T>(word);
    value[0] = pair.x, value[1] = pair.y;
  }
  // A word as it is multiplied.
  static __device__ __forceinline__ uint32_t pack(const float (&value)[2]) {
    return round_pair<T>(value[0], value[1]);
  }

  template <int kRows, int kColumns>
  static __device__ __forceinline__ void multiply(float (&sum)[kRows][kColumns][4],
                                                  const uint32_t (&a)[kRows][4],
                                                  const uint32_t (&b)[kColumns][2]) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
#pragma unroll
      for (int i = 0; i < kRows; ++i) multiply_add<T>(sum[i][j], a[i], b[j]);
  }
};

// float32, as exact as float32: each number is the sum of two of TF32, and of the four products the
// three that matter are added. Tensor cores may truncate where they add, which over a long sum is worse
// than float32: here they add three products of a slice, and ordinary additions do the rest.
struct ExactFloatProducts {
  using Element = float;
  static constexpr int kWordElements = 1;

  static __device__ __forceinline__ void unpack(uint32_t word, float (&value)[1]) {
    value[0] = bit_cast<float>(word);
  }
  static __device__ __forceinline__ uint32_t pack(const float (&value)[1]) {
    return bit_cast<uint32_t>(value[0]);
  }

  template <int kCount>
  static __device__ __forceinline__ void split(const uint32_t (&value)[kCount], uint32_t (&big)[kCount],
                                               uint32_t (&small)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const float whole = bit_cast<float>(value[i]);
      big[i] = to_tf32(whole);
      small[i] = to_tf32(whole - bit_cast<float>(big[i]));
    }
  }

  template <int kRows, int kColumns>
  static __device__ __forceinline__ void multiply(float (&sum)[kRows][kColumns][4],
                                                  const uint32_t (&a)[kRows][4],
                                                  const uint32_t (&b)[kColumns][2]) {
    uint32_t a_big[kRows][4], a_small[kRows][4];
#pragma unroll
    for (int i = 0; i < kRows; ++i) split(a[i], a_big[i], a_small[i]);
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      uint32_t b_big[2], b_small[2];
      split(b[j], b_big, b_small);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        float three[4] = {};
        multiply_add_tf32(three, a_small[i], b_big);
        multiply_add_tf32(three, a_big[i], b_small);
        multiply_add_tf32(three, a_big[i], b_big);
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[i][j][e] += three[e];
      }
    }
  }
};

// float32 data, products of TF32: for hosts that allow it.
struct Tf32Products {
  using Element = float;
  static constexpr int kWordElements = 1;

  static __device__ __forceinline__ void unpack(uint32_t word, float (&value)[1]) {
    value[0] = bit_cast<float>(word);
  }
  static __device__ __forceinline__ uint32_t pack(const float (&value)[1]) { return to_tf32(value[0]); }

  template <int kRows, int kColumns>
  static __device__ __forceinline__ void multiply(float (&sum)[kRows][kColumns][4],
                                                  const uint32_t (&a)[kRows][4],
                                                  const uint32_t (&b)[kColumns][2]) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const uint32_t rounded[2] = {to_tf32(bit_cast<float>(b[j][0])),
                                   to_tf32(bit_cast<float>(b[j][1]))};
#pragma unroll
      for (int i = 0; i < kRows; ++i) multiply_add_tf32(sum[i][j], a[i], rounded);
    }
  }
};

}  // namespace dcn::cuda
