// The end of the fused forward: a block's tile of sums to memory. A whole sum gets the bias and is
// rounded once; of a sum over a part of K, the float32 goes to the workspace as it is.
#pragma once

#include <cstdint>

#include "../warp.h"
#include "dtype.h"

namespace dcn::cuda {

template <class T>
struct OutputTensor {
  const T* bias;   // [O] or null
  T* data;         // [N, O, oH, oW], or [N, oH, oW, O] if channels_last
  float* partial;  // [splits, O, N*oH*oW], or [splits, N*oH*oW, O] if channels_last; null: not split
  bool channels_last;
  int32_t outs, group_outs;
  int32_t out_pixels;
  int64_t pixels;  // of all images
};

// One 16-column slice after another is turned around in a piece of shared memory of the warp's own, so
// that what the warp writes lies together.
inline constexpr int kSliceOuts = 16;

template <class T, class Shape>
struct OutputSlice {
  // The padding keeps the lanes, which hold two columns of eight rows, in different banks.
  static constexpr int kPitch = Shape::kWarpPixels + 16 / static_cast<int>(sizeof(T));
  T column[kSliceOuts][kPitch];
};

template <class T>
__device__ __forceinline__ void round_two(float first, float second, T* at, T* next) {
  if constexpr (sizeof(T) == 2) {
    const uint32_t pair = round_pair<T>(first, second);
    at->bits = static_cast<uint16_t>(pair);
    next->bits = static_cast<uint16_t>(pair >> 16);
  } else {
    *at = first;
    *next = second;
  }
}

template <class T, class Shape, int kRows, int kColumns>
__device__ __forceinline__ void store_tile(const OutputTensor<T>& out,
                                           const float (&sum)[kRows][kColumns][4], int64_t first_pixel,
                                           int32_t group, int32_t first_out, int split,
                                           unsigned char* shared) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t warp_pixel = first_pixel + warp % Shape::kWarpsP * Shape::kWarpPixels;
  const int32_t warp_out = first_out + warp / Shape::kWarpsP * Shape::kWarpOuts;  // in the group
  const int32_t group_out = group * out.group_outs;

  if (out.partial) {
    float* to = out.partial + int64_t{split} * out.outs * out.pixels;
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int64_t pixel = warp_pixel + i * 16 + lane / 4 + e / 2 * 8;
          const int32_t o = warp_out + j * 8 + lane % 4 * 2 + e % 2;
          if (pixel >= out.pixels || o >= out.group_outs) continue;
          const int64_t channel = group_out + o;
          to[out.channels_last ? pixel * out.outs + channel : channel * out.pixels + pixel] =
              sum[i][j][e];
        }
    return;
  }

  using Slice = OutputSlice<T, Shape>;
  static_assert(sizeof(Slice) * Shape::kThreads / 32 <= Shape::kBufferBytes, "fits where samples were");
  Slice& slice = reinterpret_cast<Slice*>(shared)[warp];
  // Where the lane's pixels lie, in channel 0 of the group. In channels-last it has others: see below.
  constexpr int kLanePixels = Shape::kWarpPixels / 32;
  int64_t target[kLanePixels];
#pragma unroll
  for (int r = 0; r < kLanePixels; ++r) {
    const int64_t pixel = warp_pixel + lane + r * 32;
    target[r] = pixel < out.pixels ? (pixel / out.out_pixels * out.outs + group_out) * out.out_pixels +
                                         pixel % out.out_pixels
                                   : -1;
  }
#pragma unroll
  for (int s = 0; s < kColumns / 2; ++s) {
    sync_warp();
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int column = j * 8 + lane % 4 * 2;
      float bias[2] = {};
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int32_t o = warp_out + s * kSliceOuts + column + e;
        if (out.bias && o < out.group_outs) bias[e] = load(out.bias[group_out + o]);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = i * 16 + half * 8 + lane / 4;
          const float (&four)[4] = sum[i][s * 2 + j];
          round_two(four[half * 2] + bias[0], four[half * 2 + 1] + bias[1], &slice.column[column][row],
                    &slice.column[column + 1][row]);
        }
    }
    sync_warp();
    const int32_t first = warp_out + s * kSliceOuts, left = out.group_outs - first;
    if (out.channels_last) {
      const int column = lane % kSliceOuts;
      const int64_t at = (warp_pixel + lane / kSliceOuts) * out.outs + group_out + first + column;
      if (column < left)
#pragma unroll 4
        for (int row = lane / kSliceOuts; row < Shape::kWarpPixels; row += 32 / kSliceOuts)
          if (warp_pixel + row < out.pixels)
            out.data[at + int64_t{row - lane / kSliceOuts} * out.outs] = slice.column[column][row];
    } else {
#pragma unroll
      for (int r = 0; r < kLanePixels; ++r)
        if (target[r] >= 0)
#pragma unroll 4
          for (int column = 0; column < kSliceOuts && column < left; ++column)
            out.data[target[r] + int64_t{first + column} * out.out_pixels] =
                slice.column[column][lane + r * 32];
    }
  }
}

}  // namespace dcn::cuda
