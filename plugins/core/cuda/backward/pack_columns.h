// The weight, transposed, as the gradient of the samples needs it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../divider.h"
#include "../elementwise.h"
#include "../launch.h"
#include "bundles.h"
#include "data_gradient.h"

namespace dcn::cuda {

// A block transposes a vector of channels by some outputs by some taps through shared memory: both
// sides lie together in memory.
template <class T>
class PackColumns {
 public:
  PackColumns() = default;
  PackColumns(const Problem& p, const Bundles& bundles, int64_t depth_stages, const void* weight,
              T* packed)
      : bundles_(bundles),
        taps_(static_cast<int32_t>(p.taps())),
        outs_(static_cast<int32_t>(p.group_out_channels())),
        ins_(static_cast<int32_t>(p.group_in_channels())),
        depth_stages_(static_cast<int32_t>(depth_stages)),
        taps_at_once_(bundles.segments.smaller(taps_, kMostTaps)),
        tap_tiles_(static_cast<int32_t>(divide_up(taps_, taps_at_once_))),
        by_taps_(taps_at_once_),
        by_row_(int64_t{taps_at_once_} * bundles.segments.vector),
        weight_(static_cast<const T*>(weight)),
        packed_(packed) {}

  static constexpr int kOuts = kDepthBytes / static_cast<int>(sizeof(T)), kMostTaps = 9;
  // A word more than needed in each row, so that a column lies in different banks.
  static constexpr int kSharedBytes = kOuts * (kMostTaps * 8 * static_cast<int>(sizeof(T)) + 4);

  DCN_INLINE int64_t blocks() const {
    return int64_t{bundles_.count} * kBundleVectors * depth_stages_ * tap_tiles_;
  }

  __device__ void run(int64_t of_all, unsigned char* shared_memory) const {
    const auto block = static_cast<int32_t>(of_all);
    T* const tile = reinterpret_cast<T*>(shared_memory);  // [kOuts, pitch]
    const int thread = static_cast<int>(threadIdx.x);
    const int32_t stage = block % depth_stages_, rest = block / depth_stages_;
    const int32_t first_tap = rest % tap_tiles_ * taps_at_once_, v = rest / tap_tiles_;
    const int32_t bundle = v / kBundleVectors, in_bundle = v % kBundleVectors;
    const int32_t group = bundles_.group(bundle), vector = bundles_.segments.vector;
    const int32_t row = vector * taps_at_once_, pitch = row + 4 / static_cast<int>(sizeof(T));

    Segment segment{};
    int32_t channels = 0;  // of the vector
    if (in_bundle < bundles_.vectors(bundle)) {
      const int32_t at = bundles_.first_vector(bundle) + in_bundle;
      segment = bundles_.segments.at_vector(at);
      segment.first += (at - segment.first_vector) * vector;
      channels = segment.channels - (at - segment.first_vector) * vector;
    }
    // [kOuts, vector, taps]
    const T* from = weight_ + (int64_t{group} * outs_ + stage * kOuts) * ins_ * taps_ +
                    int64_t{segment.first - group * ins_} * taps_ + first_tap;
#pragma unroll 4
    for (int i = thread; i < kOuts * row; i += kElementThreads) {
      const int32_t out = by_row_.quotient(i), in_row = by_row_.rest(i, out);
      const int32_t channel = by_taps_.quotient(in_row), tap = by_taps_.rest(in_row, channel);
      const bool valid = stage * kOuts + out < outs_ && channel < channels && first_tap + tap < taps_;
      tile[out * pitch + in_row] =
          valid ? from[int64_t{out} * ins_ * taps_ + channel * taps_ + tap] : T{};
    }
    __syncthreads();
    const int32_t bits = bundles_.segments.vector_bits;
    for (int i = thread; i < kOuts * row; i += kElementThreads) {
      const int32_t out = i % kOuts, channel = i / kOuts & (vector - 1), tap = i / kOuts >> bits;
      if (first_tap + tap >= taps_) break;
      const int64_t of_stage = (int64_t{bundle} * taps_ + first_tap + tap) * depth_stages_ + stage;
      packed_[((of_stage * kBundleVectors + in_bundle) * vector + channel) * kOuts + out] =
          tile[out * pitch + channel * taps_at_once_ + tap];
    }
  }

 private:
  Bundles bundles_;
  int32_t taps_, outs_, ins_;  // outs_, ins_: of a group
  int32_t depth_stages_ = 0;   // of kOuts outputs
  int32_t taps_at_once_, tap_tiles_;
  Divider by_taps_, by_row_;
  const T* weight_;  // [O, C/group, kH, kW]
  T* packed_;        // as DataGradient has it, zeros in between
};

// Zeros, where atomic additions begin.
class FillZero {
 public:
  FillZero() = default;
  FillZero(float* to, int64_t count) : to_(reinterpret_cast<float4*>(to)), count_(count / 4) {}

  static constexpr int kSharedBytes = 0, kOwn = 8;  // stores of a thread

  DCN_INLINE int64_t blocks() const {
    return (count_ + kOwn * kElementThreads - 1) / (kOwn * kElementThreads);
  }

  __device__ void run(int64_t block, unsigned char* /*shared_memory*/) const {
    const int64_t first = block * kOwn * kElementThreads + static_cast<int>(threadIdx.x);
#pragma unroll
    for (int k = 0; k < kOwn; ++k)
      if (first + k * kElementThreads < count_)
        to_[first + k * kElementThreads] = make_float4(0, 0, 0, 0);
  }

 private:
  float4* to_;
  int64_t count_ = 0;  // of four floats
};

}  // namespace dcn::cuda
