// The operands of the fused data gradient on their way to shared memory: the weight, stage after stage,
// and grad_output, which stays there for all taps where it fits, and comes along with the weight where
// it does not.
#pragma once

#include <cstdint>

#include "../warp.h"
#include "data_tile.h"

namespace dcn::cuda {

template <class Tile>
class DataStream {
 public:
  using T = typename Tile::T;

  __device__ __forceinline__ DataStream(const DataGradient<T>& p, typename Tile::Shared& s,
                                        const DataRun& run)
      : p_(p),
        s_(s),
        stages_((run.end_tap - run.first_tap) * p.depth_stages),
        weight_(reinterpret_cast<const unsigned char*>(p.weight) + threadIdx.x * 16 +
                (int64_t{run.bundle} * p.coordinates.taps + run.first_tap) * p.depth_stages *
                    (Tile::kChannels * Tile::kStageBytes)) {}

  // Of grad_output, as they lie in shared memory when stage `stage` of the run needs them.
  __device__ __forceinline__ const unsigned char* rows(int32_t stage, int32_t depth) const {
    return s_.grad_output +
           (resident() ? depth * Tile::kStageBytes : stage % Tile::kStages * kStageRows);
  }
  __device__ __forceinline__ int pitch() const {
    return resident() ? Tile::kResidentPitch : Tile::kPitch;
  }

  __device__ __forceinline__ void copy_resident() const {
    if (!resident()) return;
    for (int32_t depth = 0; depth < p_.depth_stages; ++depth)
      copy_grad_output(s_.grad_output + depth * Tile::kStageBytes, depth);
  }

  // Stage `stage` of the run, if there is one. They come one after the other.
  __device__ __forceinline__ void copy(int32_t stage) {
    if (stage >= stages_) return;
    unsigned char* to = s_.weight[stage % Tile::kStages] + row() * Tile::kPitch + part() * 16;
#pragma unroll
    for (int first = 0; first < Tile::kChannels; first += kRowsAtOnce)
      copy_async(to + first * Tile::kPitch, weight_ + first * Tile::kStageBytes, true);
    weight_ += Tile::kChannels * Tile::kStageBytes;
    if (!resident()) {
      copy_grad_output(s_.grad_output + stage % Tile::kStages * kStageRows, depth_);
      if (++depth_ == p_.depth_stages) depth_ = 0;
    }
  }

 private:
  static constexpr int kParts = Tile::kStageBytes / 16;            // of a row, one for each thread
  static constexpr int kStageRows = Tile::kPixels * Tile::kPitch;  // bytes of grad_output in a stage
  static constexpr int kRowsAtOnce = kGradientBlock / kParts;

  // The thread's, of rows that are copied at once.
  static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x / kParts); }
  static __device__ __forceinline__ int part() { return static_cast<int>(threadIdx.x % kParts); }
  __device__ __forceinline__ bool resident() const { return p_.depth_stages <= Tile::kResidentStages; }

  __device__ __forceinline__ void copy_grad_output(unsigned char* to, int32_t depth) const {
    const int32_t out = depth * Tile::kStageElements + part() * (16 / Tile::kBytes);
#pragma unroll
    for (int first = 0; first < Tile::kPixels; first += kRowsAtOnce) {
      const int64_t start = s_.grad_starts[first + row()];
      const bool valid = start >= 0 && out < p_.out.outs;
      copy_async(to + (first + row()) * pitch() + part() * 16,
                 p_.grad_output + (valid ? start + out : 0), valid);
    }
  }

  const DataGradient<T>& p_;
  typename Tile::Shared& s_;
  const int32_t stages_;
  const unsigned char* weight_;  // the thread's part of the next stage
  int32_t depth_ = 0;            // of the next stage, in its tap
};

}  // namespace dcn::cuda
