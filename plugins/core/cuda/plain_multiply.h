// The second half of the plain CUDA forward: weight times the columns that plain_sample.h wrote, plus
// the bias.
//
// A block computes a tile of the output at a time, kTile channels by kTile pixels, each thread every
// sixteenth row and column of it. Sums are of two levels, in a fixed order: one over kDepth products,
// and one over those sums, which keeps long sums in float32 as exact as short ones.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"
#include "dtype.h"
#include "plain_sample.h"

namespace dcn::cuda {

inline constexpr int kTile = 64;
inline constexpr int kDepth = 16;
inline constexpr int kSide = 16;  // threads along each side of the tile
inline constexpr int kMultiplyThreads = kSide * kSide;
inline constexpr int kPerThread = kTile / kSide;

// What a block shares. One element more than needed in each row of the weight: it is written across.
template <class A>
struct MultiplyTiles {
  A weight[kDepth][kTile + 1];
  A columns[kDepth][kTile];
};

// The tiles of one product, in the order in which blocks take them.
struct TileGrid {
  int64_t pixels, channels, count;

  DCN_INLINE TileGrid(const Problem& p, const Chunk& chunk)
      : pixels((chunk.pixels + kTile - 1) / kTile),
        channels((p.group_out_channels() + kTile - 1) / kTile),
        count(pixels * channels * p.group) {}
};

template <class T>
__global__ void multiply_columns(const Problem p, const ForwardArgs args, const Chunk chunk,
                                 const Arithmetic<T>* columns) {  // [C*kH*kW, chunk.pixels]
  using A = Arithmetic<T>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  MultiplyTiles<A>& tiles = *reinterpret_cast<MultiplyTiles<A>*>(shared_memory);
  const TileGrid grid(p, chunk);
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / kSide, column = thread % kSide;
  const int64_t depth = p.group_in_channels() * p.taps();
  const int64_t outs = p.group_out_channels();

  for (int64_t tile = blockIdx.x; tile < grid.count; tile += gridDim.x) {
    const int64_t first_pixel = tile % grid.pixels * kTile;
    const int64_t first_out = tile / grid.pixels % grid.channels * kTile;
    const int64_t group = tile / grid.pixels / grid.channels;
    const T* weight = static_cast<const T*>(args.weight) + group * outs * depth;  // [outs, depth]
    const A* sampled = columns + group * depth * chunk.pixels;  // [depth, chunk.pixels]

    A sum[kPerThread][kPerThread] = {};
    for (int64_t first = 0; first < depth; first += kDepth) {
      for (int i = thread; i < kTile * kDepth; i += kMultiplyThreads) {
        const int64_t out = first_out + i / kDepth, k = first + i % kDepth;
        tiles.weight[i % kDepth][i / kDepth] =
            out < outs && k < depth ? A(load(weight[out * depth + k])) : A(0);
      }
      for (int i = thread; i < kTile * kDepth; i += kMultiplyThreads) {
        const int64_t k = first + i / kTile, pixel = first_pixel + i % kTile;
        tiles.columns[i / kTile][i % kTile] =
            k < depth && pixel < chunk.pixels ? sampled[k * chunk.pixels + pixel] : A(0);
      }
      __syncthreads();
      A partial[kPerThread][kPerThread] = {};
      for (int k = 0; k < kDepth; ++k)
        for (int i = 0; i < kPerThread; ++i)
          for (int j = 0; j < kPerThread; ++j)
            partial[i][j] += tiles.weight[k][row + i * kSide] * tiles.columns[k][column + j * kSide];
      for (int i = 0; i < kPerThread; ++i)
        for (int j = 0; j < kPerThread; ++j) sum[i][j] += partial[i][j];
      __syncthreads();
    }

    for (int j = 0; j < kPerThread; ++j) {
      const int64_t in_chunk = first_pixel + column + j * kSide;
      if (in_chunk >= chunk.pixels) continue;
      const int64_t image = (chunk.first + in_chunk) / p.out_pixels();
      const int64_t pixel = (chunk.first + in_chunk) % p.out_pixels();
      for (int i = 0; i < kPerThread; ++i) {
        const int64_t out = first_out + row + i * kSide;
        if (out >= outs) continue;
        const int64_t channel = group * outs + out;
        const A bias = args.bias ? A(load(static_cast<const T*>(args.bias)[channel])) : A(0);
        const int64_t at = args.channels_last
                               ? (image * p.out_pixels() + pixel) * p.out_channels + channel
                               : (image * p.out_channels + channel) * p.out_pixels() + pixel;
        static_cast<T*>(args.output)[at] = Store<T>::from(sum[i][j] + bias);
      }
    }
  }
}

}  // namespace dcn::cuda
