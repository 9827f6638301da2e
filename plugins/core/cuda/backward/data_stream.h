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
        stages_left_((run.end_tap - run.first_tap) * p.depth_stages),
        weight_(reinterpret_cast<const unsigned char*>(p.weight) + thread() * 16 +
                (int64_t{run.bundle} * p.coordinates.taps + run.first_tap) * p.depth_stages *
                    (Tile::kChannels * Tile::kStageBytes)) {}

  // Of grad_output, as they lie in shared memory when stage `stage` of the run needs them.
  __device__ __forceinline__ unsigned char* rows(int32_t stage, int32_t depth) const {
    return resident() ? s_.grad_output + depth * Tile::kStageBytes
                      : s_.grad_output + stage % Tile::kStages * (Tile::kPixels * Tile::kPitch);
  }
  __device__ __forceinline__ int pitch() const {
    return resident() ? Tile::kResidentPitch : Tile::kPitch;
  }

  __device__ __forceinline__ void copy_resident() const {
    if (!resident()) return;
    for (int32_t depth = 0; depth < p_.depth_stages; ++depth) copy_grad_output(rows(0, depth), depth);
  }

  // The next stage, if there is one.
  __device__ __forceinline__ void copy_next() {
    if (stages_left_ == 0) return;
    const int32_t stage = stage_;
    unsigned char* to =
        s_.weight[stage % Tile::kStages] + thread() / kParts * Tile::kPitch + thread() % kParts * 16;
#pragma unroll
    for (int row = 0; row < Tile::kChannels; row += kRowsAtOnce)
      copy_async(to + row * Tile::kPitch, weight_ + row * Tile::kStageBytes, true);
    weight_ += Tile::kChannels * Tile::kStageBytes;
    if (!resident()) {
      copy_grad_output(rows(stage, depth_), depth_);
      if (++depth_ == p_.depth_stages) depth_ = 0;
    }
    ++stage_, --stages_left_;
  }

 private:
  static constexpr int kParts = Tile::kStageBytes / 16;  // of a row, one for each thread
  static constexpr int kRowsAtOnce = kGradientBlock / kParts;

  static __device__ __forceinline__ int thread() { return static_cast<int>(threadIdx.x); }
  __device__ __forceinline__ bool resident() const { return p_.depth_stages <= Tile::kResidentStages; }

  __device__ __forceinline__ void copy_grad_output(unsigned char* to, int32_t depth) const {
    const int first = thread() / kParts, part = thread() % kParts;
    const int32_t out = depth * Tile::kStageElements + part * (16 / Tile::kBytes);
#pragma unroll
    for (int row = first; row < first + Tile::kPixels; row += kRowsAtOnce) {
      const int64_t start = s_.grad_starts[row];
      const bool valid = start >= 0 && out < p_.out.outs;
      copy_async(to + row * pitch() + part * 16, p_.grad_output + (valid ? start + out : 0), valid);
    }
  }

  const DataGradient<T>& p_;
  typename Tile::Shared& s_;
  int32_t stages_left_;
  const unsigned char* weight_;    // the thread's part of the next stage
  int32_t stage_ = 0, depth_ = 0;  // the next: counted through the run, and through its tap
};

}  // namespace dcn::cuda
