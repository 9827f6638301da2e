// What the fused forward stores of a sample, and how it multiplies: one type per arithmetic. A product
// is of sixteen pixels by eight output channels over 32 bytes of the K dimension; Samples and Weights
// are what it needs of either, made once of what lies in shared memory.
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

  template <int kCount>
  struct Factor {
    uint32_t bits[kCount];
    __device__ __forceinline__ Factor() {}
    __device__ __forceinline__ explicit Factor(const uint32_t (&from)[kCount]) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) bits[i] = from[i];
    }
  };
  using Samples = Factor<4>;
  using Weights = Factor<2>;

  static __device__ __forceinline__ void multiply(float (&sum)[4], const Samples& a, const Weights& b) {
    multiply_add<T>(sum, a.bits, b.bits);
  }
};

struct FloatWords {
  using Element = float;
  static constexpr int kWordElements = 1;

  static __device__ __forceinline__ void unpack(uint32_t word, float (&value)[1]) {
    value[0] = bit_cast<float>(word);
  }
};

// A float32 as the sum of two numbers of TF32. By conversions, in nine instructions...
struct SplitByConversions {
  static __device__ __forceinline__ void split(uint32_t from, uint32_t* big, uint32_t* small) {
    const float whole = bit_cast<float>(from);
    *big = to_tf32(whole);
    *small = to_tf32(whole - bit_cast<float>(*big));
  }
};
// ... or as integers, in four: half of the last place that TF32 has is added, and what it has not cut
// off. A NaN may become zero so, but then the rest is NaN. The rest, which is cut off only, is as much
// less exact as leaves the sum of the two at 2^-21 of the number.
struct SplitAsIntegers {
  static __device__ __forceinline__ void split(uint32_t from, uint32_t* big, uint32_t* small) {
    constexpr uint32_t kKept = 0xffffe000u, kHalf = 0x1000u;
    *big = (from + kHalf) & kKept;
    *small = bit_cast<uint32_t>(bit_cast<float>(from) - bit_cast<float>(*big)) & kKept;
  }
};

// float32, as exact as float32: each number is the sum of two of TF32, and of the four products the
// three that matter are added. Tensor cores may truncate where they add, which over a long sum is worse
// than float32: here they add three products at a time, and ordinary additions do the rest.
template <class Split>
struct FloatProducts : FloatWords {
  static __device__ __forceinline__ uint32_t pack(const float (&value)[1]) {
    return bit_cast<uint32_t>(value[0]);
  }

  template <int kCount>
  struct Factor {
    uint32_t big[kCount], small[kCount];
    __device__ __forceinline__ Factor() {}
    __device__ __forceinline__ explicit Factor(const uint32_t (&from)[kCount]) {
#pragma unroll
      for (int i = 0; i < kCount; ++i) Split::split(from[i], &big[i], &small[i]);
    }
  };
  using Samples = Factor<4>;
  using Weights = Factor<2>;

  static __device__ __forceinline__ void multiply(float (&sum)[4], const Samples& a, const Weights& b) {
    float three[4] = {};
    multiply_add_tf32(three, a.small, b.big);
    multiply_add_tf32(three, a.big, b.small);
    multiply_add_tf32(three, a.big, b.big);
#pragma unroll
    for (int e = 0; e < 4; ++e) sum[e] += three[e];
  }
};

// The weight's gradient, which has half a thread's registers, would have to spill some for the second.
using ExactFloatProducts = FloatProducts<SplitByConversions>;
using QuickFloatProducts = FloatProducts<SplitAsIntegers>;

// float32 data, products of TF32: for hosts that allow it.
struct Tf32Products : FloatWords {
  static __device__ __forceinline__ uint32_t pack(const float (&value)[1]) { return to_tf32(value[0]); }

  struct Samples {  // which pack() has rounded
    uint32_t bits[4];
    __device__ __forceinline__ Samples() {}
    __device__ __forceinline__ explicit Samples(const uint32_t (&from)[4])
        : bits{from[0], from[1], from[2], from[3]} {}
  };
  struct Weights {
    uint32_t bits[2];
    __device__ __forceinline__ explicit Weights(const uint32_t (&from)[2])
        : bits{to_tf32(bit_cast<float>(from[0])), to_tf32(bit_cast<float>(from[1]))} {}
  };

  static __device__ __forceinline__ void multiply(float (&sum)[4], const Samples& a, const Weights& b) {
    multiply_add_tf32(sum, a.bits, b.bits);
  }
};

}  // namespace dcn::cuda
