// How the gradient of the weight is cut into blocks: tiles of outputs by columns, and runs of pixels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../launch.h"
#include "deform_conv.h"
#include "weight_columns.h"
#include "weight_tile.h"

#if !defined(DCN_CUDA_PROCESSORS)
#define DCN_CUDA_PROCESSORS 132
#endif

namespace dcn::cuda {

struct WeightPlan {
  // What the largest GPUs in use have.
  static constexpr int64_t kProcessors = DCN_CUDA_PROCESSORS;
  // Tensor cores truncate, which longer sums in float32 would show. Fewer are not worth a sum of their
  // own.
  static constexpr int64_t kMostRunPixels = 16384, kLeastRunPixels = 128;

  WeightColumns columns;
  int64_t tile_outs, tile_columns;  // of a block
  int64_t out_tiles, blocks_of_run;
  int64_t most_blocks;  // that the GPU runs at a time

  explicit WeightPlan(const Problem& p)
      : columns(p), tile_columns(kTileVectors * columns.segments.vector) {
    const int64_t outs = p.group_out_channels(), widest = tile_columns == 128 ? 256 : 128;
    tile_outs = outs <= 64 ? 64 : outs <= 128 ? 128 : widest;
    out_tiles = divide_up(outs, tile_outs);
    blocks_of_run = p.group * columns.tiles() * out_tiles;
    most_blocks = tile_outs == 256 ? kProcessors : 2 * kProcessors;
  }

  // Sums of a run, with padding.
  int64_t elements() const { return blocks_of_run * tile_outs * tile_columns; }
  // Runs of pixels that are summed up by themselves: as many as run at a time, not a block more.
  int64_t run_pixels(int64_t pixels) const {
    const int64_t wanted = std::min(most_blocks / blocks_of_run, pixels / kLeastRunPixels);
    const int64_t runs = std::max({divide_up(pixels, kMostRunPixels), wanted, int64_t{1}});
    return divide_up(divide_up(pixels, runs), kStepPixels) * kStepPixels;
  }
  // Never less for larger problems. Two blocks that run at a time have half of the largest tile each.
  int64_t workspace_bytes(int64_t pixels) const {
    constexpr int64_t kLargestTile = 256 * 128;
    return std::min(elements() * std::max<int64_t>(pixels / kLeastRunPixels, 1),
                    elements() * divide_up(pixels, kMostRunPixels) + kProcessors * kLargestTile) *
           int64_t{sizeof(float)};
  }
};

}  // namespace dcn::cuda
