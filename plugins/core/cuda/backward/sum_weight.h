// Adds up the partial sums of the weight's gradient, in the order of the runs, and lays them out as the
// weight.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../divider.h"
#include "../elementwise.h"
#include "weight_columns.h"
#include "weight_tile.h"

namespace dcn::cuda {

// A block owns 16 outputs, up to two vectors of a segment and some taps: it reads fragments as they
// were written, and collects in shared memory what lies together in the weight.
template <class T>
class SumWeight {
 public:
  SumWeight() = default;
  SumWeight(const Problem& p, const WeightGradient<T>& job, int32_t runs, void* grad_weight)
      : columns_(job.columns),
        partial_(job.partial),
        runs_(runs),
        outs_(static_cast<int32_t>(p.group_out_channels())),
        ins_(static_cast<int32_t>(p.group_in_channels())),
        out_tiles_((outs_ + kOuts - 1) / kOuts),
        taps_at_once_(columns_.segments.smaller(columns_.taps, kMostTaps)),
        tap_tiles_((columns_.taps + taps_at_once_ - 1) / taps_at_once_),
        vector_tiles_((columns_.segment_vectors + kVectors - 1) / kVectors),
        segments_(columns_.group_vectors / columns_.segment_vectors),
        by_taps_(taps_at_once_),
        grad_weight_(static_cast<T*>(grad_weight)) {}

  static constexpr int kOuts = 16, kVectors = 2, kMostTaps = 25;
  static constexpr int kSharedBytes =
      kOuts * kVectors * (sizeof(T) == 2 ? 8 : 4) * kMostTaps * static_cast<int>(sizeof(T));

  DCN_INLINE int64_t blocks() const {
    return int64_t{partial_.groups} * segments_ * vector_tiles_ * tap_tiles_ * out_tiles_;
  }

  __device__ void run(int64_t of_all, unsigned char* shared_memory) const {
    const auto block = static_cast<int32_t>(of_all);
    T* const tile = reinterpret_cast<T*>(shared_memory);  // [kOuts, channels, taps]
    const int32_t out_tile = block % out_tiles_;
    int32_t rest = block / out_tiles_;
    const int32_t first_tap = rest % tap_tiles_ * taps_at_once_;
    rest /= tap_tiles_;
    const int32_t first = rest % vector_tiles_ * kVectors;
    rest /= vector_tiles_;
    const int32_t segment = rest % segments_, group = rest / segments_;
    const int32_t vectors = columns_.segments.smaller(columns_.segment_vectors - first, kVectors);
    const int32_t vector = columns_.segments.vector, row = vectors * vector * taps_at_once_;

    // A column's vector of one row of fragments is what 4 * vector lanes hold.
    const int32_t bits = columns_.segments.vector_bits + 2;
    for (int i = static_cast<int>(threadIdx.x); i < kVectors * taps_at_once_ << bits;
         i += kElementThreads) {
      const int32_t v = i >> bits & (kVectors - 1), tap = i >> bits >> 1;
      if (v >= vectors || first_tap + tap >= columns_.taps) continue;
      const int32_t column = columns_.index(segment, first + v, first_tap + tap) * vector;
      const int32_t own = i & ((1 << bits) - 1), out = own >> (bits - 3);
      const int32_t channel = (own & (vector / 2 - 1)) * 2;
      const float4 sum = sum_of_runs(partial_.fragment(group, out_tile, column / 8) + out * 4 +
                                     (column % 8 + channel) / 2);
      T* to = tile + out * row + (v * vector + channel) * taps_at_once_ + tap;
      to[0] = Store<T>::from(sum.x);
      to[taps_at_once_] = Store<T>::from(sum.y);
      to[8 * row] = Store<T>::from(sum.z);
      to[8 * row + taps_at_once_] = Store<T>::from(sum.w);
    }
    __syncthreads();

    const Segment s = columns_.segments.at_vector(group * columns_.group_vectors +
                                                  segment * columns_.segment_vectors);
    const int32_t channels = s.channels - first * vector;
    T* const to = grad_weight_ +
                  (int64_t{group} * outs_ * ins_ + s.first - int64_t{group} * ins_ + first * vector) *
                      columns_.taps +
                  first_tap;
    constexpr int kWarps = kElementThreads / 32;
    for (int32_t out = static_cast<int>(threadIdx.x) / 32; out < kOuts; out += kWarps) {
      if (out_tile * kOuts + out >= outs_) break;
      T* const to_out = to + int64_t{out_tile * kOuts + out} * ins_ * columns_.taps;
      for (int i = static_cast<int>(threadIdx.x) % 32; i < row; i += 32) {
        const int32_t channel = by_taps_.quotient(i), tap = by_taps_.rest(i, channel);
        if (channel < channels && first_tap + tap < columns_.taps)
          to_out[int64_t{channel} * columns_.taps + tap] = tile[out * row + i];
      }
    }
  }

 private:
  // Several loads are under way at a time.
  __device__ __forceinline__ float4 sum_of_runs(const float4* at) const {
    const int64_t run_size = partial_.run_size();
    float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 4
    for (int32_t run = 0; run < runs_; ++run) {
      const float4 next = at[run * run_size];
      sum.x += next.x, sum.y += next.y, sum.z += next.z, sum.w += next.w;
    }
    return sum;
  }

  WeightColumns columns_;
  PartialSums partial_{nullptr, 0, 0, 0};
  int32_t runs_, outs_, ins_;  // outs_, ins_: of a group
  int32_t out_tiles_ = 1, taps_at_once_, tap_tiles_ = 1, vector_tiles_ = 1, segments_ = 1;
  Divider by_taps_;
  T* grad_weight_;  // [O, C/group, kH, kW]
};

}  // namespace dcn::cuda
