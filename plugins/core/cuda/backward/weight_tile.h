// What a block of the weight's gradient keeps in shared memory, how its warps multiply it, and where
// their sums go.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../coordinates.h"
#include "../products.h"
#include "../warp.h"
#include "gradient_points.h"
#include "weight_columns.h"

namespace dcn::cuda {

// A run of pixels is gone through in steps of so many.
inline constexpr int kStepPixels = 32;

// Sums of runs of pixels, as the tensor cores leave them: fragments of 16 outs by 8 columns, 32 lanes
// with four numbers each, [runs, group, outs / 16, columns / 8, lanes], tiles filled up.
struct PartialSums {
  float4* data;
  int32_t groups, rows, columns;  // rows, columns: fragments of a group

  DCN_INLINE int64_t run_size() const { return int64_t{groups} * rows * columns * 32; }
  // Of lane 0. `of_runs`: run * groups + group.
  DCN_INLINE float4* fragment(int32_t of_runs, int32_t row, int32_t column) const {
    return data + ((int64_t{of_runs} * rows + row) * columns + column) * 32;
  }
};

template <class T>
struct WeightGradient {
  WeightColumns columns;
  ImageLayout image;
  GradOutputLayout out;
  Coordinates<T> coordinates;
  const T* input;           // staged
  const T* grad_output;     // staged
  int64_t grad_output_gap;  // elements of other groups, from one image to the next
  PartialSums partial;
  int32_t pixels;                        // of all images
  int32_t run_pixels;                    // of a run, whole steps
  int32_t image_vectors, pixel_vectors;  // of the staged input, from one to the next
};

// The operands as they lie in shared memory, pixel by pixel: what is summed over is the row.
template <class Products_, int kVector_, int kOuts_>
struct WeightTile {
  using Products = Products_;
  using T = typename Products::Element;
  static constexpr int kBytes = static_cast<int>(sizeof(T));
  static constexpr int kVector = kVector_, kWords = kVector * kBytes / 4;
  static constexpr int kOuts = kOuts_, kChannels = kTileVectors * kVector, kPixels = kStepPixels;
  // How warps share the tile: in squares, which read least; but of float32, whose fragments fill
  // registers, one row of fragments each.
  static constexpr int kOutWarps = kBytes == 4 ? kOuts / 16 : kOuts > kChannels / 2 ? 4 : 2;
  static constexpr int kChannelWarps = kGradientWarps / kOutWarps;
  static constexpr int kRows = kOuts / kOutWarps / 16, kColumns = kChannels / kChannelWarps / 8;
  static constexpr int kSlicePixels = 32 / kBytes;
  // More than needed in each row, so that what a warp reads at once lies in different banks: eight rows
  // of 16 bytes, or four of 32.
  static constexpr int kPad = kBytes == 2 ? 16 : 32;
  static constexpr int kOutPitch = kOuts * kBytes + kPad, kSamplePitch = kChannels * kBytes + kPad;
  static constexpr int kBlocks = kOuts == 256 ? 1 : 2;  // that a processor shall run at a time
  // Positions that a block computes at a time: of every slot, for one step or several.
  static constexpr int kRoundLines = kTileVectors;

  struct Shared {
    unsigned char grad_output[2][kPixels * kOutPitch];
    unsigned char samples[2][kPixels * kSamplePitch];
    // Two rounds of [steps, slots]: weights of the corners; the vector where the first lies, counted
    // from the first image's, and which of them lie inside.
    float4 weights[2 * kRoundLines][kPixels];
    int2 corners[2 * kRoundLines][kPixels];
    TileColumns columns;
  };
  static_assert(sizeof(Shared) <= 99 << 10, "what a block may have on every GPU from sm_80 on");
};

// Half of a step: the first half of the pixels, or the second. Fragments of a slice: a [16 * kRows
// outs, slice], b [slice, 8 * kColumns channels].
template <class Tile>
__device__ __forceinline__ void multiply_half(float (&sum)[Tile::kRows][Tile::kColumns][4],
                                              const unsigned char* grad_output,
                                              const unsigned char* samples, int half) {
  constexpr int kRows = Tile::kRows, kColumns = Tile::kColumns, kBytes = Tile::kBytes;
  constexpr int kHalfPixels = Tile::kPixels / 2;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  grad_output += warp % Tile::kOutWarps * kRows * 16 * kBytes;
  samples += warp / Tile::kOutWarps * kColumns * 8 * kBytes;
  // Slices of float32 one by one: more would need too many registers.
#pragma unroll 1
  for (int pixel = half * kHalfPixels; pixel < (half + 1) * kHalfPixels; pixel += Tile::kSlicePixels) {
    uint32_t a[kRows][4], b[kColumns][2];
    if constexpr (kBytes == 2) {
      // Lanes 8i to 8i+7 give the rows of matrix i. The matrices are two runs of channels of the first
      // eight pixels, then of the last; of the samples, the pixels change first.
      const unsigned char* left =
          grad_output + (pixel + lane / 16 * 8 + lane % 8) * Tile::kOutPitch + lane / 8 % 2 * 16;
      const unsigned char* right = samples + (pixel + lane % 16) * Tile::kSamplePitch + lane / 16 * 16;
#pragma unroll
      for (int i = 0; i < kRows; ++i) load_matrices_transposed(a[i], left + i * 32);
#pragma unroll
      for (int j = 0; j < kColumns; j += 2) {
        uint32_t two[4];
        load_matrices_transposed(two, right + j * 16);
        b[j][0] = two[0], b[j][1] = two[1], b[j + 1][0] = two[2], b[j + 1][1] = two[3];
      }
    } else {
      const auto word = [](const unsigned char* at) { return *reinterpret_cast<const uint32_t*>(at); };
      const unsigned char* left = grad_output + (pixel + lane % 4) * Tile::kOutPitch + lane / 4 * 4;
      const unsigned char* right = samples + (pixel + lane % 4) * Tile::kSamplePitch + lane / 4 * 4;
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          a[i][e] = word(left + e / 2 * 4 * Tile::kOutPitch + (i * 16 + e % 2 * 8) * 4);
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) b[j][e] = word(right + e * 4 * Tile::kSamplePitch + j * 32);
    }
    multiply_fragments<typename Tile::Products>(sum, a, b);
  }
}

// The warp's sums, to where those of the block's first fragment go.
template <class Tile>
__device__ __forceinline__ void store_sums(const float (&sum)[Tile::kRows][Tile::kColumns][4],
                                           const PartialSums& partial, float4* block) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp % Tile::kOutWarps * Tile::kRows;
  const int column = warp / Tile::kOutWarps * Tile::kColumns;
#pragma unroll
  for (int i = 0; i < Tile::kRows; ++i)
#pragma unroll
    for (int j = 0; j < Tile::kColumns; ++j)
      block[(int64_t{row + i} * partial.columns + column + j) * 32 + lane] =
          make_float4(sum[i][j][0], sum[i][j][1], sum[i][j][2], sum[i][j][3]);
}

}  // namespace dcn::cuda
