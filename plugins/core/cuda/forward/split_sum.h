// Adds up the partial sums of blocks that shared a tile, in a fixed order, and finishes the tile as one
// block would have done that had it for itself.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "dtype.h"
#include "output_tile.h"

namespace dcn::cuda {

inline constexpr int kSumWarps = 4;

// A warp takes a slice of what a warp of the tile left, and each lane what its lane left: loads and
// stores of neighbours lie together. Blocks: x, tiles; y, slices.
template <class T, class Shape>
__global__ void __launch_bounds__(kSumWarps * 32)
    sum_splits(const OutputTensor<T> out, const int32_t splits) {
  using Warp = WarpOutput<T, Shape>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  const int own = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int unit = static_cast<int>(blockIdx.y) * kSumWarps + own;
  const int warp = unit / Warp::kSlices, slice = unit % Warp::kSlices;
  const OutputTile<Shape> tile(out, blockIdx.x);

  constexpr int kColumns = kSliceOuts / 8;
  const float4* from = partial_sums<Shape>(out, blockIdx.x, gridDim.x, 0) +
                       slice * kColumns * Shape::kThreads + warp * 32 + lane;
  const int64_t next_split = partial_sums<Shape>(out, 0, gridDim.x, 1) - out.partial;
  float sum[Shape::kRows][kColumns][4] = {};
  for (int32_t split = 0; split < splits; ++split, from += next_split) {
    float4 part[Shape::kRows][kColumns];
#pragma unroll
    for (int i = 0; i < Shape::kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) part[i][j] = from[(i * Shape::kColumns + j) * Shape::kThreads];
#pragma unroll
    for (int i = 0; i < Shape::kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        float (&four)[4] = sum[i][j];
        four[0] += part[i][j].x, four[1] += part[i][j].y;
        four[2] += part[i][j].z, four[3] += part[i][j].w;
      }
  }
  auto& shared = reinterpret_cast<typename Warp::Slice*>(shared_memory)[own];
  Warp(out, tile, warp, shared).store(sum, 0, slice);
}

template <class T, class Shape>
cudaError_t launch_sum_splits(const OutputTensor<T>& out, int64_t tiles, int32_t splits,
                              cudaStream_t stream) {
  using Warp = WarpOutput<T, Shape>;
  constexpr int kUnits = Shape::kThreads / 32 * Warp::kSlices;
  static_assert(kUnits % kSumWarps == 0, "a warp for each slice");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(tiles), kUnits / kSumWarps);
  config.blockDim = dim3(kSumWarps * 32);
  config.dynamicSmemBytes = kSumWarps * sizeof(typename Warp::Slice);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, sum_splits<T, Shape>, out, splits);
}

}  // namespace dcn::cuda
