// The second half of the plain CUDA forward: weight times the columns that plain_sample.h wrote, plus
// the bias.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"
#include "dtype.h"
#include "plain_position.h"
#include "plain_product.h"

namespace dcn::cuda {

DCN_INLINE ProductSize forward_product(const Problem& p, const Chunk& chunk) {
  return {p.group_out_channels(), chunk.pixels, p.group_in_channels() * p.taps()};
}

template <class T>
__global__ void multiply_columns(const Problem p, const ForwardArgs args, const Chunk chunk,
                                 const Arithmetic<T>* columns) {  // [C*kH*kW, chunk.pixels]
  using A = Arithmetic<T>;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& tiles = *reinterpret_cast<ProductTiles<A>*>(shared_memory);
  const ProductSize size = forward_product(p, chunk);
  const TileGrid grid(size, p.group);
  for (int64_t tile = blockIdx.x; tile < grid.count; tile += gridDim.x) {
    const int64_t group = grid.group(tile), first_out = group * p.group_out_channels();
    const T* weight = static_cast<const T*>(args.weight) + first_out * size.depth;  // [outs, depth]
    const A* sampled = columns + group * size.depth * chunk.pixels;  // [depth, chunk.pixels]
    multiply_tile<A, Along::kDepth, Along::kSide>(
        tiles, size, grid.first_row(tile), grid.first_column(tile),
        [&](int64_t out, int64_t k) { return A(load(weight[out * size.depth + k])); },
        [&](int64_t k, int64_t pixel) { return sampled[k * chunk.pixels + pixel]; },
        [&](int64_t out, int64_t in_chunk, A sum) {
          const int64_t image = (chunk.first + in_chunk) / p.out_pixels();
          const int64_t pixel = (chunk.first + in_chunk) % p.out_pixels();
          const int64_t channel = first_out + out;
          const A bias = args.bias ? A(load(static_cast<const T*>(args.bias)[channel])) : A(0);
          const int64_t at = args.channels_last
                                 ? (image * p.out_pixels() + pixel) * p.out_channels + channel
                                 : (image * p.out_channels + channel) * p.out_pixels() + pixel;
          static_cast<T*>(args.output)[at] = Store<T>::from(sum + bias);
        });
  }
}

}  // namespace dcn::cuda
