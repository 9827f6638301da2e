// Which kernels take a forward pass, and in what pieces: decided from the problem alone, so that hosts
// that have no device yet, or none at all, get the same answer.
#pragma once

#include <cstdint>

#include "../k_order.h"
#include "deform_conv.h"
#include "pixel_tiles.h"

namespace dcn::cuda {

// How the fused kernel finds its sampling positions (sampler.h).
enum class Sampling { kTabulated, kDirect, kDirectNarrow, kPlanes, kPlanePairs };

struct FusedPlan {
  KOrder order;
  Sampling sampling;
  int32_t tile_pixels, tile_outs;
  PixelTiles tiles;
  int32_t out_tiles;  // of a group
  int32_t splits, steps_per_split;

  explicit FusedPlan(const Problem& p);

  bool of_planes() const { return sampling == Sampling::kPlanes || sampling == Sampling::kPlanePairs; }
};

// Whether the kernels of fused_forward.h or those of small_groups.h take the problem, on a device of
// sm_80 or later. Neither: the plain ones.
bool takes_fused(const Problem& problem, const Options& options);
bool takes_small_groups(const Problem& problem, const Options& options);

// Float32 sums that the blocks of a split tile leave for split_sum.h, at most, for this problem or any
// smaller one.
size_t partial_sum_bytes(const Problem& problem);

}  // namespace dcn::cuda
