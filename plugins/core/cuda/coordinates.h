// Where the fast kernels sample: offset and mask of one tap at one output pixel, and from them the four
// corners. Offsets and masks are float32 or of the data's type; which of the two is asked at run time,
// since all threads answer alike.
#pragma once

#include <cmath>
#include <cstdint>

#include "deform_conv.h"
#include "divider.h"
#include "dtype.h"
#include "sampling.h"
#include "warp.h"

namespace dcn::cuda {

// As they lie in memory: bits of float32, or of the data's type.
struct RawPoint {
  uint32_t y, x, mask;
};
// NaN in every type: what lies there touches no pixel, so that the sample is zero.
inline constexpr RawPoint kNowhere = {~0u, 0, 0};

// An offset in two parts, as sample_axis() takes it apart, but in additions alone: what fills the
// lowest bits of a float32 of 2^23 is an integer. It is not so for an offset of 2^22 and more, or for
// one that is no number: then `floor_bits` mean nothing, and inside() must have said no.
inline constexpr uint32_t kFloorBits = 0x4b400000;  // 1.5 * 2^23
struct SplitOffset {
  uint32_t floor_bits;  // kFloorBits + floor
  float fraction;       // in [0, 1], always

  __device__ __forceinline__ explicit SplitOffset(float offset) {
    const float shift = bit_cast<float>(kFloorBits), floor = __fadd_rd(offset, shift);
    floor_bits = bit_cast<uint32_t>(floor);
    fraction = __saturatef(offset - (floor - shift));
  }
};

// Whether a coordinate lies between -1 and the extent of its axis. `centre`: where it would lie without
// its offset, from the middle of the axis; `half`: half of the extent + 1. Rounded towards zero, the
// sum is below a number if and only if the true sum is.
__device__ __forceinline__ bool inside(float offset, float centre, float half) {
  return std::fabs(__fadd_rz(offset, centre)) < half;
}

struct SamplePoint {
  AxisSample<float> y, x;
  float mask;
};

// The corners top left, top right, bottom left, bottom right.
struct CornerWeights {
  float weight[4];  // mask included

  DCN_INLINE CornerWeights() {}
  DCN_INLINE CornerWeights(float fraction_y, float fraction_x, float mask) {
    const float bottom = fraction_y * mask, top = (1 - fraction_y) * mask;
    weight[0] = top * (1 - fraction_x);
    weight[1] = top * fraction_x;
    weight[2] = bottom * (1 - fraction_x);
    weight[3] = bottom * fraction_x;
  }
};

// One outside the image is zero and must not be read: its weight alone would turn an infinite pixel
// elsewhere into NaN.
struct CornerPixels {
  int32_t first;    // pixel of the top left corner, which may lie outside
  uint32_t inside;  // bit i: corner i lies in the image

  DCN_INLINE CornerPixels() {}
  DCN_INLINE CornerPixels(int32_t low_y, int32_t low_x, int32_t height, int32_t width)
      : first(low_y * width + low_x) {
    const auto h = static_cast<uint32_t>(height), w = static_cast<uint32_t>(width);
    const auto y = static_cast<uint32_t>(low_y), x = static_cast<uint32_t>(low_x);
    const uint32_t rows = (y < h ? 3u : 0u) | (y + 1 < h ? 12u : 0u);
    const uint32_t columns = (x < w ? 5u : 0u) | (x + 1 < w ? 10u : 0u);
    inside = rows & columns;
  }
};

struct SampleCorners : CornerWeights, CornerPixels {
  DCN_INLINE SampleCorners() {}
  DCN_INLINE SampleCorners(const SamplePoint& p, int32_t height, int32_t width)
      : CornerWeights(p.y.fraction, p.x.fraction, p.mask),
        CornerPixels(p.y.low, p.x.low, height, width) {}
};

// T: dtype of the data.
template <class T>
struct Coordinates {
  const void* offset;  // [N, offset_group*kH*kW*2, oH, oW]
  const void* mask;    // [N, offset_group*kH*kW, oH, oW] or null
  bool of_float32;     // offset and mask
  bool has_mask;
  float half_h, half_w;  // (in_h + 1) / 2 and (in_w + 1) / 2
  Divider by_out_w, by_kernel_w;
  int32_t in_h, in_w, out_pixels;
  int32_t kernel_w, taps, offset_group;
  uint32_t rows;  // of the mask in an image: offset_group * taps
  int32_t stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;

  Coordinates() = default;
  Coordinates(const Problem& p, const void* offset, const void* mask)
      : offset(offset),
        mask(mask),
        of_float32(p.coordinate_dtype == DType::kFloat32),
        has_mask(mask != nullptr),
        half_h(static_cast<float>(p.in_h + 1) / 2),
        half_w(static_cast<float>(p.in_w + 1) / 2),
        by_out_w(p.out_w),
        by_kernel_w(p.kernel_w),
        in_h(static_cast<int32_t>(p.in_h)),
        in_w(static_cast<int32_t>(p.in_w)),
        out_pixels(static_cast<int32_t>(p.out_pixels())),
        kernel_w(static_cast<int32_t>(p.kernel_w)),
        taps(static_cast<int32_t>(p.taps())),
        offset_group(static_cast<int32_t>(p.offset_group)),
        rows(static_cast<uint32_t>(p.offset_group * p.taps())),
        stride_h(static_cast<int32_t>(p.stride_h)),
        stride_w(static_cast<int32_t>(p.stride_w)),
        pad_top(static_cast<int32_t>(p.pad_top)),
        pad_left(static_cast<int32_t>(p.pad_left)),
        dilation_h(static_cast<int32_t>(p.dilation_h)),
        dilation_w(static_cast<int32_t>(p.dilation_w)) {}

  // The integer part of where tap 0 lies at an output pixel, and what another tap adds.
  DCN_INLINE int32_t base_y(int32_t pixel) const {
    return by_out_w.quotient(pixel) * stride_h - pad_top;
  }
  DCN_INLINE int32_t base_x(int32_t pixel) const {
    return by_out_w.rest(pixel, by_out_w.quotient(pixel)) * stride_w - pad_left;
  }
  DCN_INLINE int32_t tap_y(int32_t tap) const { return by_kernel_w.quotient(tap) * dilation_h; }
  DCN_INLINE int32_t tap_x(int32_t tap) const {
    return by_kernel_w.rest(tap, by_kernel_w.quotient(tap)) * dilation_w;
  }

  __device__ __forceinline__ uint32_t bits(const void* tensor, uint64_t at) const {
    if (of_float32) return static_cast<const uint32_t*>(tensor)[at];
    return static_cast<const uint16_t*>(tensor)[at];
  }
  __device__ __forceinline__ float value(uint32_t bits) const {
    if constexpr (sizeof(T) == 2)
      if (!of_float32) return load_pair<T>(bits).x;
    return bit_cast<float>(bits);
  }

  // `row`: offset group * taps + tap. Nothing here waits for the loads.
  __device__ __forceinline__ RawPoint ask(int32_t image, int32_t row, int32_t pixel) const {
    const auto n = static_cast<uint32_t>(image), pixels = static_cast<uint32_t>(out_pixels);
    const uint64_t first =
        (uint64_t{n} * rows + static_cast<uint32_t>(row)) * pixels;  // of the mask's row
    const uint64_t at = first + static_cast<uint32_t>(pixel), at_y = at + first;
    return {bits(offset, at_y), bits(offset, at_y + pixels), mask ? bits(mask, at) : 0};
  }

  // `y`, `x`: the integer part of the position, tap included.
  __device__ __forceinline__ SamplePoint point(const RawPoint& raw, int32_t y, int32_t x) const {
    return {sample_axis(value(raw.y), y, in_h), sample_axis(value(raw.x), x, in_w),
            mask ? value(raw.mask) : 1.0f};
  }
};

}  // namespace dcn::cuda
