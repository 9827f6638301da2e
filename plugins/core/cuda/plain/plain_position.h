// Where the samples of one tap lie, for the plain kernels: one thread, one pixel at a time.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"
#include "dtype.h"
#include "sampling.h"

namespace dcn::cuda {

// A run of output pixels, counted through all images of the batch.
struct Chunk {
  int64_t first;
  int64_t pixels;
};

// One tap of one offset group of one image. A: what coordinates are computed in; C: dtype of offset and
// mask.
template <class A, class C>
struct TapPositions {
  const C* offset_y;  // [out_pixels]
  const C* offset_x;  // [out_pixels]
  const C* mask;      // [out_pixels] or null
  int32_t first_y, first_x, stride_y, stride_x, height, width, out_w;

  // `row`: offset_group * taps + tap.
  DCN_INLINE TapPositions(const Problem& p, const void* offset, const void* mask, int64_t image,
                          int64_t row)
      : stride_y(static_cast<int32_t>(p.stride_h)),
        stride_x(static_cast<int32_t>(p.stride_w)),
        height(static_cast<int32_t>(p.in_h)),
        width(static_cast<int32_t>(p.in_w)),
        out_w(static_cast<int32_t>(p.out_w)) {
    const int64_t index = image * p.offset_group * p.taps() + row, tap = row % p.taps();
    offset_y = static_cast<const C*>(offset) + 2 * index * p.out_pixels();
    offset_x = offset_y + p.out_pixels();
    this->mask = mask ? static_cast<const C*>(mask) + index * p.out_pixels() : nullptr;
    first_y = static_cast<int32_t>(tap / p.kernel_w * p.dilation_h - p.pad_top);
    first_x = static_cast<int32_t>(tap % p.kernel_w * p.dilation_w - p.pad_left);
  }

  DCN_INLINE AxisSample<A> y(int32_t pixel) const {
    return sample_axis(A(load(offset_y[pixel])), first_y + pixel / out_w * stride_y, height);
  }
  DCN_INLINE AxisSample<A> x(int32_t pixel) const {
    return sample_axis(A(load(offset_x[pixel])), first_x + pixel % out_w * stride_x, width);
  }
  DCN_INLINE A mask_at(int32_t pixel) const { return mask ? A(load(mask[pixel])) : A(1); }
};

}  // namespace dcn::cuda
