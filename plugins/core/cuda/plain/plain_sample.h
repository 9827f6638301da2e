// The first half of the plain CUDA forward: the samples of a run of output pixels, mask included, as
// the columns of a matrix. plain_multiply.h multiplies it by the weight.
//
// A thread owns a pixel and one tap of one offset group: it finds out where the sample lies, and takes
// it from several channels. Threads beside each other own pixels beside each other, which is how the
// tensors lie in memory.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"
#include "dtype.h"
#include "plain_position.h"
#include "sampling.h"

namespace dcn::cuda {

inline constexpr int kSampleThreads = 128;
inline constexpr int kChannelsPerThread = 16;

// The four corners of a sample in a plane, and what each weighs. A corner outside the image is zero
// and is not read: the weight alone would turn an infinite pixel elsewhere into NaN.
template <class A>
struct Corners {
  int32_t at[4];  // index in the plane, or -1
  A weight[4];

  DCN_INLINE Corners(const AxisSample<A>& y, const AxisSample<A>& x, int32_t height, int32_t width,
                     A mask) {
    const A weight_y[2] = {(1 - y.fraction) * mask, y.fraction * mask};
    const A weight_x[2] = {1 - x.fraction, x.fraction};
    for (int i = 0; i < 4; ++i) {
      const int32_t row = y.low + i / 2, column = x.low + i % 2;
      const bool inside = row >= 0 && row < height && column >= 0 && column < width;
      at[i] = inside ? row * width + column : -1;
      weight[i] = weight_y[i / 2] * weight_x[i % 2];
    }
  }

  // `stride`: elements from one pixel of the plane to the next.
  template <class T>
  DCN_INLINE A sample(const T* plane, int64_t stride) const {
    A sum = 0;
    for (int i = 0; i < 4; ++i) sum += weight[i] * (at[i] < 0 ? A(0) : A(load(plane[at[i] * stride])));
    return sum;
  }
};

// T: dtype of the data; C: of offset and mask.
template <class T, class C>
__global__ void sample_columns(const Problem p, const ForwardArgs args, const Chunk chunk,
                               Arithmetic<T>* columns) {  // [C*kH*kW, chunk.pixels]
  using A = Arithmetic<T>;
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= chunk.pixels) return;
  const int64_t image = (chunk.first + i) / p.out_pixels();
  const int32_t pixel = static_cast<int32_t>((chunk.first + i) % p.out_pixels());
  const int64_t group_channels = p.in_channels / p.offset_group;
  const int64_t rows = p.offset_group * p.taps();
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const int64_t group = row / p.taps(), tap = row % p.taps();
    const TapPositions<A, C> positions(p, args.offset, args.mask, image, row);
    const Corners<A> corners(positions.y(pixel), positions.x(pixel), positions.height, positions.width,
                             positions.mask_at(pixel));
    for (int64_t first = int64_t{blockIdx.z} * kChannelsPerThread; first < group_channels;
         first += int64_t{gridDim.z} * kChannelsPerThread) {
      const int64_t last = first + kChannelsPerThread;
      for (int64_t c = first; c < (last < group_channels ? last : group_channels); ++c) {
        const int64_t channel = group * group_channels + c;
        const T* image_data = static_cast<const T*>(args.input) + image * p.in_channels * p.in_pixels();
        columns[(channel * p.taps() + tap) * chunk.pixels + i] =
            args.channels_last ? corners.sample(image_data + channel, p.in_channels)
                               : corners.sample(image_data + channel * p.in_pixels(), 1);
      }
    }
  }
}

}  // namespace dcn::cuda
