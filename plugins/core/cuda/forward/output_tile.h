// The end of the fused forward: a block's tile of sums to memory. A whole sum gets the bias and is
// rounded once. Of a sum over a part of K, the float32 goes to the workspace as the registers have it,
// for split_sum.h to finish.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../warp.h"
#include "dtype.h"
#include "tile_pixels.h"

namespace dcn::cuda {

// kPixels x kOuts: the tile of a block; kWarpsP x kWarpsO: how its warps share it.
template <int kPixels_, int kOuts_, int kWarpsP_, int kWarpsO_, int kBlocks_>
struct TileShape {
  static constexpr int kPixels = kPixels_, kOuts = kOuts_, kWarpsP = kWarpsP_, kWarpsO = kWarpsO_;
  static constexpr int kBlocks = kBlocks_;  // that a processor shall run at a time
  static constexpr int kThreads = kWarpsP * kWarpsO * 32;
  static constexpr int kWarpPixels = kPixels / kWarpsP, kWarpOuts = kOuts / kWarpsO;
  static constexpr int kRows = kWarpPixels / 16, kColumns = kWarpOuts / 8;  // products of a warp
};

template <class T>
struct OutputTensor {
  const T* bias;    // [O] or null
  T* data;          // [N, O, oH, oW], or [N, oH, oW, O] if channels_last
  float4* partial;  // [splits, tiles, products of a warp, threads]; null: not split
  bool channels_last;
  int32_t outs, group_outs;
  int32_t out_pixels;
  int64_t pixels;                   // of all images
  uint32_t pixel_tiles, out_tiles;  // out_tiles: of a group
};

// The tile of a block.
template <class Shape>
struct OutputTile {
  int32_t group, first_out;  // first_out: in the group
  int64_t first_pixel;

  template <class T>
  __device__ __forceinline__ OutputTile(const OutputTensor<T>& out, uint32_t block)
      : group(static_cast<int32_t>(block / out.pixel_tiles / out.out_tiles)),
        first_out(static_cast<int32_t>(block / out.pixel_tiles % out.out_tiles) * Shape::kOuts),
        first_pixel(int64_t{block % out.pixel_tiles} * Shape::kPixels) {}
};

// Where product 0 of thread 0 of the tile lies in the workspace; that of the next thread follows.
template <class Shape, class T>
__device__ __forceinline__ float4* partial_sums(const OutputTensor<T>& out, uint32_t block,
                                                uint32_t blocks, int split) {
  constexpr int kProducts = Shape::kRows * Shape::kColumns;
  return out.partial + (int64_t{split} * blocks + block) * (kProducts * Shape::kThreads);
}

// One 16-column slice of a warp's sums after another is turned around in a piece of shared memory of
// the warp's own, so that what the warp writes lies together.
inline constexpr int kSliceOuts = 16;

// What a warp of the tile does with its sums, whole ones.
template <class T, class Shape>
class WarpOutput {
 public:
  static constexpr int kSlices = Shape::kWarpOuts / kSliceOuts;  // of a warp's part of the tile
  struct Slice {
    // The padding keeps the lanes, which hold two columns of eight rows, in different banks.
    static constexpr int kPitch = Shape::kWarpPixels + 16 / static_cast<int>(sizeof(T));
    T column[kSliceOuts][kPitch];
  };

  // `warp`: of the tile; `slice`: in shared memory.
  __device__ __forceinline__ WarpOutput(const OutputTensor<T>& out, const OutputTile<Shape>& tile,
                                        int warp, Slice& slice)
      : out_(out),
        first_pixel_(tile.first_pixel + warp % Shape::kWarpsP * Shape::kWarpPixels),
        first_out_(tile.first_out + warp / Shape::kWarpsP * Shape::kWarpOuts),
        group_out_(tile.group * out.group_outs),
        slice_(slice) {
    const TilePixels pixels(out.out_pixels, out.pixels, first_pixel_);
#pragma unroll
    for (int r = 0; r < kLanePixels; ++r) {
      const int row = static_cast<int>(threadIdx.x) % 32 + r * 32;
      target_[r] = pixels.valid(row) ? (pixels.image(row) * out.outs + group_out_) * out.out_pixels +
                                           pixels.pixel(row)
                                     : -1;
    }
  }

  // Slice `s` of the warp's part of the tile: products `first` and `first` + 1 of each row of `sum`.
  template <int kColumns>
  __device__ __forceinline__ void store(const float (&sum)[Shape::kRows][kColumns][4], int first,
                                        int s) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int32_t first_out = first_out_ + s * kSliceOuts, left = out_.group_outs - first_out;
    sync_warp();
#pragma unroll
    for (int j = 0; j < kSliceOuts / 8; ++j) {
      const int column = j * 8 + lane % 4 * 2;
      float bias[2] = {};
#pragma unroll
      for (int e = 0; e < 2; ++e)
        if (out_.bias && column + e < left)
          bias[e] = load(out_.bias[group_out_ + first_out + column + e]);
#pragma unroll
      for (int i = 0; i < Shape::kRows; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = i * 16 + half * 8 + lane / 4;
          const float (&four)[4] = sum[i][first + j];
          round_two(four[half * 2] + bias[0], four[half * 2 + 1] + bias[1], &slice_.column[column][row],
                    &slice_.column[column + 1][row]);
        }
    }
    sync_warp();
    if (out_.channels_last) {
      const int column = lane % kSliceOuts;
      if (column < left)
#pragma unroll 4
        for (int row = lane / kSliceOuts; row < Shape::kWarpPixels; row += 32 / kSliceOuts)
          if (first_pixel_ + row < out_.pixels)
            out_.data[(first_pixel_ + row) * out_.outs + group_out_ + first_out + column] =
                slice_.column[column][row];
    } else {
#pragma unroll
      for (int r = 0; r < kLanePixels; ++r)
        if (target_[r] >= 0)
#pragma unroll 4
          for (int column = 0; column < kSliceOuts && column < left; ++column)
            out_.data[target_[r] + int64_t{first_out + column} * out_.out_pixels] =
                slice_.column[column][lane + r * 32];
    }
  }

 private:
  static constexpr int kLanePixels = Shape::kWarpPixels / 32;

  static __device__ __forceinline__ void round_two(float first, float second, T* at, T* next) {
    if constexpr (sizeof(T) == 2) {
      const uint32_t pair = round_pair<T>(first, second);
      at->bits = static_cast<uint16_t>(pair);
      next->bits = static_cast<uint16_t>(pair >> 16);
    } else {
      *at = first;
      *next = second;
    }
  }

  const OutputTensor<T>& out_;
  int64_t first_pixel_;
  int32_t first_out_, group_out_;  // first_out_: in the group
  // Where the lane's pixels lie, in channel 0 of the group; -1: beyond the last. In channels-last the
  // lane writes others.
  int64_t target_[kLanePixels];
  Slice& slice_;
};

}  // namespace dcn::cuda
