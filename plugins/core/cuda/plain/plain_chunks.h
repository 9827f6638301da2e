// How the plain kernels cut their work: a chunk of output pixels after another, so that the columns of
// one chunk, all samples of its pixels, stay in the second-level cache from kernel to kernel.
#pragma once

#include <algorithm>

#include "../launch.h"
#include "deform_conv.h"
#include "plain_position.h"
#include "plain_product.h"
#include "plain_sample.h"

namespace dcn::cuda {

// Tests make chunks of small problems with less.
#if !defined(DCN_CUDA_COLUMN_BYTES)
#define DCN_CUDA_COLUMN_BYTES (16 << 20)
#endif
inline constexpr int64_t kColumnBytes = DCN_CUDA_COLUMN_BYTES;

inline int64_t arithmetic_bytes(const Problem& p) {
  return p.dtype == DType::kFloat64 ? sizeof(double) : sizeof(float);
}

inline int64_t output_pixels(const Problem& p) {
  return p.batch * p.out_pixels();
}

inline int64_t column_bytes(const Problem& p) {
  return p.in_channels * p.taps() * arithmetic_bytes(p);
}

inline int64_t chunk_pixels(const Problem& p) {
  return std::min(output_pixels(p), std::max<int64_t>(kTile, kColumnBytes / column_bytes(p)));
}

// At least chunk_pixels() columns, and never more for smaller sizes.
inline int64_t chunk_bytes(const Problem& p) {
  const int64_t column = column_bytes(p);
  return std::min(column * output_pixels(p), std::max(column * kTile, kColumnBytes));
}

inline dim3 sample_grid(const Problem& p, const Chunk& chunk) {
  return grid_of(divide_up(chunk.pixels, kSampleThreads), p.offset_group * p.taps(),
                 divide_up(p.in_channels / p.offset_group, kChannelsPerThread));
}

}  // namespace dcn::cuda
