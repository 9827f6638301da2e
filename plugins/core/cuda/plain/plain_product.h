// One tile of a product of two matrices, for the plain kernels: kTile rows by kTile columns by one
// block, each thread every sixteenth row and column of it.
//
// Sums are of two levels, in a fixed order: one over kDepth products, and one over those sums, which
// keeps long sums in float32 as exact as short ones.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace dcn::cuda {

inline constexpr int kTile = 64;
inline constexpr int kDepth = 16;
inline constexpr int kSide = 16;  // threads along each side of the tile
inline constexpr int kMultiplyThreads = kSide * kSide;
inline constexpr int kPerThread = kTile / kSide;

// What a block shares. One element more than needed in each row: either matrix may be written across.
template <class A>
struct ProductTiles {
  A left[kDepth][kTile + 1];
  A right[kDepth][kTile + 1];
};

struct ProductSize {
  int64_t rows, columns, depth;
};

// How neighbouring threads walk through a tile: along what is contiguous in memory.
enum class Along { kDepth, kSide };

// `left(row, k)` and `right(k, column)` give the elements, `write(row, column, sum)` takes the sums.
// The tile may reach beyond the matrices.
template <class A, Along left_along, Along right_along, class Left, class Right, class Write>
__device__ void multiply_tile(ProductTiles<A>& tiles, const ProductSize& size, int64_t first_row,
                              int64_t first_column, const Left& left, const Right& right,
                              const Write& write) {
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / kSide, column = thread % kSide;
  A sum[kPerThread][kPerThread] = {};
  for (int64_t first = 0; first < size.depth; first += kDepth) {
    for (int i = thread; i < kTile * kDepth; i += kMultiplyThreads) {
      const int k = left_along == Along::kDepth ? i % kDepth : i / kTile;
      const int side = left_along == Along::kDepth ? i / kDepth : i % kTile;
      const bool inside = first + k < size.depth && first_row + side < size.rows;
      tiles.left[k][side] = inside ? left(first_row + side, first + k) : A(0);
    }
    for (int i = thread; i < kTile * kDepth; i += kMultiplyThreads) {
      const int k = right_along == Along::kDepth ? i % kDepth : i / kTile;
      const int side = right_along == Along::kDepth ? i / kDepth : i % kTile;
      const bool inside = first + k < size.depth && first_column + side < size.columns;
      tiles.right[k][side] = inside ? right(first + k, first_column + side) : A(0);
    }
    __syncthreads();
    A partial[kPerThread][kPerThread] = {};
    for (int k = 0; k < kDepth; ++k)
      for (int i = 0; i < kPerThread; ++i)
        for (int j = 0; j < kPerThread; ++j)
          partial[i][j] += tiles.left[k][row + i * kSide] * tiles.right[k][column + j * kSide];
    for (int i = 0; i < kPerThread; ++i)
      for (int j = 0; j < kPerThread; ++j) sum[i][j] += partial[i][j];
    __syncthreads();
  }
  for (int j = 0; j < kPerThread; ++j) {
    if (first_column + column + j * kSide >= size.columns) continue;
    for (int i = 0; i < kPerThread; ++i)
      if (first_row + row + i * kSide < size.rows)
        write(first_row + row + i * kSide, first_column + column + j * kSide, sum[i][j]);
  }
}

// The tiles of the products of all groups, in the order in which blocks take them.
struct TileGrid {
  int64_t columns, rows, count;

  DCN_INLINE TileGrid(const ProductSize& size, int64_t groups)
      : columns((size.columns + kTile - 1) / kTile),
        rows((size.rows + kTile - 1) / kTile),
        count(columns * rows * groups) {}
  DCN_INLINE int64_t first_column(int64_t tile) const { return tile % columns * kTile; }
  DCN_INLINE int64_t first_row(int64_t tile) const { return tile / columns % rows * kTile; }
  DCN_INLINE int64_t group(int64_t tile) const { return tile / columns / rows; }
};

}  // namespace dcn::cuda
