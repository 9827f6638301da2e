// Which CUDA kernels take a problem. Plain C++, so that a library without CUDA can tell too.
#include <algorithm>

#include "deform_conv.h"
#include "forward/plan.h"

namespace dcn::cuda {
namespace {

// Pieces are cut for the largest GPUs in use.
constexpr int64_t kProcessors = 132;
constexpr int64_t kMaxSplits = 16;
constexpr int64_t kMaxWaves = 2;         // of the blocks of a split problem
constexpr int64_t kMaxTile = 128 * 256;  // sums of the blocks that a processor runs at a time

// A table of more taps leaves a block of the largest tile too little shared memory on small GPUs.
constexpr int32_t kMaxTableTaps = 11;
// Segments with fewer vectors than this read a table too seldom to be worth filling one.
constexpr int32_t kMinTableVectors = 4;

// Groups of fewer channels and of no more outputs than this would leave tensor cores nearly nothing to
// do.
constexpr int64_t kMinGroupChannels = 8, kMaxGroupOuts = 16;
// Beyond these an index could overflow; no network comes near.
constexpr int64_t kMaxChannels = 1 << 24, kMaxDepth = 1 << 28;

int64_t blocks(int64_t count, int64_t of) {
  return (count + of - 1) / of;
}

// Vectors times taps of a group's K dimension, with the padding behind segments.
int64_t group_vectors(const KOrder& order, int32_t group) {
  const Segments& s = order.segments;
  const int32_t first = group * s.group_channels, last = first + s.group_channels;
  int64_t vectors = 0;
  for (Segment at = s.at_channel(first); at.first < last; at = s.next(at)) {
    const int64_t own = int64_t{at.vectors} * order.taps;
    vectors += order.tabulated ? blocks(own, kStepSlots) * kStepSlots : own;
  }
  return vectors;
}

// What all fast kernels count on.
bool fits_indices(const Problem& p, const Options& options) {
  return !options.plain && p.dtype != DType::kFloat64 && p.taps() <= kMaxTaps &&
         p.in_channels <= kMaxChannels && p.offset_group * p.taps() <= INT32_MAX &&
         p.batch <= INT32_MAX;
}

// As launch_fused.h says.
int32_t blocks_per_processor(const FusedPlan& plan) {
  if (plan.tile_pixels == 64 && plan.tile_outs == 64) return 3;
  return plan.tile_pixels * plan.tile_outs >= 128 * 128 ? 1 : 2;
}

// In steps of the K dimension, about: what a block costs before and after its steps, and what the
// second kernel costs, alone and for each of the tiles that it adds up.
constexpr double kBlockSteps = 6, kSumSteps = 8, kSumTileSteps = 1.0 / 24;

int32_t best_splits(int64_t tiles, int64_t steps, int64_t at_once) {
  int64_t best = 1;
  double best_cost = 0;
  for (int64_t splits = 1; splits <= std::min(kMaxSplits, steps); ++splits) {
    if (splits > 1 && tiles * splits > kMaxWaves * at_once) break;
    double cost = static_cast<double>(blocks(tiles * splits, at_once)) *
                  (static_cast<double>(blocks(steps, splits)) + kBlockSteps);
    if (splits > 1) cost += kSumSteps + kSumTileSteps * static_cast<double>(tiles * splits);
    if (splits == 1 || cost < best_cost) best = splits, best_cost = cost;
  }
  return static_cast<int32_t>(best);
}

}  // namespace

KOrder::KOrder(const Problem& p) : segments(p), taps(static_cast<int32_t>(p.taps())) {
  const int32_t element = p.dtype == DType::kFloat32 ? 4 : 2;
  slot_vectors = kSlotBytes / (segments.vector * element);
  const bool alike =
      segments.period == std::min(segments.group_channels, segments.offset_group_channels);
  single_vectors = alike && segments.period_vectors == 1;
  const int32_t own = segments.period_vectors * taps % kStepSlots;
  tabulated = alike && slot_vectors == 1 && segments.period_vectors >= kMinTableVectors &&
              taps <= kMaxTableTaps &&
              (own == 0 || segments.period_vectors * taps >= 4 * (kStepSlots - own));
  // The groups differ only where they straddle offset groups, and then repeat with the segments.
  const int32_t different = alike ? 1 : segments.period / segments.group_channels;
  int64_t most = 0;
  for (int32_t group = 0; group < different; ++group)
    most = std::max(most, group_vectors(*this, group));
  steps = static_cast<int32_t>(blocks(most, kStepSlots * slot_vectors));
}

// The tiles that launch_fused.h has kernels for. Wide ones sample each pixel once; how wide and how
// high they may be is a matter of registers, of which sampling directly and three products for one need
// more.
FusedPlan::FusedPlan(const Problem& p) : order(p) {
  const int64_t outs = p.group_out_channels();
  sampling = order.tabulated           ? Sampling::kTabulated
             : order.slot_vectors == 1 ? Sampling::kDirect
                                       : Sampling::kDirectNarrow;
  int32_t widest = 256;
  if (p.dtype == DType::kFloat32) widest = sampling == Sampling::kTabulated ? 128 : 64;
  if (sampling == Sampling::kDirectNarrow) widest = 128;
  tile_outs = std::min(outs <= 64 ? 64 : outs <= 128 ? 128 : 256, widest);
  tile_pixels = 128;
  if (p.dtype == DType::kFloat32 ? tile_outs == 64 : sampling != Sampling::kTabulated && tile_outs > 64)
    tile_pixels = 64;
  pixel_tiles = blocks(p.batch * p.out_pixels(), tile_pixels);
  out_tiles = static_cast<int32_t>(blocks(outs, tile_outs));
  const int32_t wanted = best_splits(pixel_tiles * out_tiles * p.group, order.steps,
                                     kProcessors * blocks_per_processor(*this));
  steps_per_split = static_cast<int32_t>(blocks(order.steps, wanted));
  splits = static_cast<int32_t>(blocks(order.steps, steps_per_split));
}

bool takes_small_groups(const Problem& p, const Options& options) {
  return fits_indices(p, options) && p.group > 1 && p.group_in_channels() < kMinGroupChannels &&
         p.group_out_channels() <= kMaxGroupOuts;
}

bool takes_fused(const Problem& p, const Options& options) {
  // Padding at most quadruples the channels of a segment.
  return fits_indices(p, options) && !takes_small_groups(p, options) &&
         p.group_in_channels() * 4 * p.taps() <= kMaxDepth;
}

size_t partial_sum_bytes(const Problem& p) {
  // Of whole tiles, of which none is larger than these.
  const int64_t pixels = blocks(p.batch * p.out_pixels(), 128) * 128;
  const int64_t outs = p.group_out_channels();
  const int64_t tile_outs = outs <= 64 ? 64 : outs <= 128 ? 128 : blocks(outs, 256) * 256;
  const int64_t all = kMaxSplits * p.group * tile_outs * pixels;
  return sizeof(float) * static_cast<size_t>(std::min(all, kMaxWaves * kProcessors * kMaxTile));
}

const char* path(const Problem& problem, const Options& options) {
  if (takes_small_groups(problem, options)) return "small groups";
  return takes_fused(problem, options) ? "tensor cores" : "plain";
}

}  // namespace dcn::cuda
