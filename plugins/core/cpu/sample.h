// Samples of a tile of output pixels: first where they lie and how their four corners weigh (a plan,
// vectorised over pixels), then the values (vectorised over channels).
#pragma once

#include <type_traits>

#include "dtype.h"
#include "gemm.h"
#include "kernels.h"
#include "sampling.h"

namespace dcn::cpu::DCN_ISA {

// Integer part of the coordinates of each pixel of a tile, for tap (0, 0).
struct TilePositions {
  int32_t y[kTilePixels];
  int32_t x[kTilePixels];
};

DCN_INLINE void fill_positions(const Problem& p, int64_t first_pixel, int64_t pixels,
                               TilePositions* positions) {
  int64_t row = first_pixel / p.out_w, column = first_pixel % p.out_w;
  for (int64_t i = 0; i < pixels; ++i) {
    positions->y[i] = static_cast<int32_t>(row * p.stride_h - p.pad_top);
    positions->x[i] = static_cast<int32_t>(column * p.stride_w - p.pad_left);
    if (++column == p.out_w) {
      column = 0;
      ++row;
    }
  }
}

// One tap of one offset group, for the pixels of a tile.
template <class A>
struct TapPlan {
  int32_t corner[kTilePixels];  // staged pixel of the upper left corner
  A weight[4][kTilePixels];     // of (top left, top right, bottom left, bottom right), mask included
};

// What the gradients need besides.
template <class A>
struct GradientPlan : TapPlan<A> {
  A fraction_y[kTilePixels];
  A fraction_x[kTilePixels];
  A mask[kTilePixels];
};

template <class C, class A>
DCN_INLINE const A* read_row(const void* tensor, int64_t first, int64_t count, A* buffer) {
  const C* row = static_cast<const C*>(tensor) + first;
  if constexpr (sizeof(C) == sizeof(A)) return reinterpret_cast<const A*>(row);
  for (int64_t i = 0; i < count; ++i) buffer[i] = load(row[i]);
  return buffer;
}

// `count` coordinates from element `first` on, in the arithmetic type: in place, or in `buffer`.
template <class A>
const A* read_coordinates(DType dtype, const void* tensor, int64_t first, int64_t count, A* buffer) {
  if constexpr (sizeof(A) == sizeof(double)) return read_row<double>(tensor, first, count, buffer);
  switch (dtype) {
    case DType::kFloat16: return read_row<Float16>(tensor, first, count, buffer);
    case DType::kBFloat16: return read_row<BFloat16>(tensor, first, count, buffer);
    default: return read_row<float>(tensor, first, count, buffer);
  }
}

// The next tap's rows are far away in memory, and too short for the hardware to foresee.
template <class A>
DCN_INLINE void prefetch_row(const A* row, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(A);
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(row + i);
}

template <class A, class Plan>
void fill_plan(const Layout& layout, const SampleSource& source, const TilePositions& positions,
               int64_t offset_group, int64_t tap, int64_t first_pixel, int64_t pixels, Plan* plan) {
  const Problem& p = layout.problem;
  const int64_t row = offset_group * p.taps() + tap;
  const int64_t out_pixels = p.out_pixels();
  A buffers[3][kTilePixels];
  const auto read = [&](const void* tensor, int64_t channel, A* buffer) {
    return read_coordinates<A>(p.coordinate_dtype, tensor, channel * out_pixels + first_pixel, pixels,
                               buffer);
  };
  const A* offset_y = read(source.offset, 2 * row, buffers[0]);
  const A* offset_x = read(source.offset, 2 * row + 1, buffers[1]);
  const A* mask = buffers[2];
  if (source.mask)
    mask = read(source.mask, row, buffers[2]);
  else
    for (int64_t i = 0; i < pixels; ++i) buffers[2][i] = A(1);
  if (row + 1 < p.offset_group * p.taps() && offset_y != buffers[0]) {
    prefetch_row(offset_y + 2 * out_pixels, pixels);
    prefetch_row(offset_x + 2 * out_pixels, pixels);
    if (source.mask) prefetch_row(mask + out_pixels, pixels);
  }

  const int32_t tap_y = static_cast<int32_t>(tap / p.kernel_w * p.dilation_h);
  const int32_t tap_x = static_cast<int32_t>(tap % p.kernel_w * p.dilation_w);
  const int32_t in_h = static_cast<int32_t>(p.in_h), in_w = static_cast<int32_t>(p.in_w);
  const int32_t staged_w = static_cast<int32_t>(layout.staged_w);
#pragma GCC ivdep
  for (int64_t i = 0; i < pixels; ++i) {
    const AxisSample<A> y = sample_axis(offset_y[i], positions.y[i] + tap_y, in_h);
    const AxisSample<A> x = sample_axis(offset_x[i], positions.x[i] + tap_x, in_w);
    const A bottom = y.fraction * mask[i], top = (1 - y.fraction) * mask[i];
    plan->corner[i] = (y.low + kBorder) * staged_w + x.low + kBorder;
    plan->weight[0][i] = top * (1 - x.fraction);
    plan->weight[1][i] = top * x.fraction;
    plan->weight[2][i] = bottom * (1 - x.fraction);
    plan->weight[3][i] = bottom * x.fraction;
    if constexpr (std::is_same_v<Plan, GradientPlan<A>>) {
      plan->fraction_y[i] = y.fraction;
      plan->fraction_x[i] = x.fraction;
      plan->mask[i] = mask[i];
    }
  }
}

template <class A>
DCN_INLINE const A* segment_image(const Layout& layout, const void* staged, const Segment& segment) {
  return static_cast<const A*>(staged) + segment.first_channel * layout.staged_pixels;
}

// One sample: its four corners in a channels-last image, and what each weighs.
template <class A>
struct Sample {
  const A* top;
  const A* bottom;
  int64_t pixel_stride;
  A weight[4];

  DCN_INLINE Sample(const TapPlan<A>& plan, int64_t pixel, const A* image, int64_t pixel_stride,
                    int64_t row_stride)
      : top(image + plan.corner[pixel] * pixel_stride),
        bottom(top + row_stride),
        pixel_stride(pixel_stride),
        weight{plan.weight[0][pixel], plan.weight[1][pixel], plan.weight[2][pixel],
               plan.weight[3][pixel]} {}

  // Its values for N channels from `channel` on.
  template <int N>
  DCN_INLINE Vec<A, N> values(int64_t channel) const {
    using V = Vec<A, N>;
    return (weight[0] * load_vec<V>(top + channel) +
            weight[1] * load_vec<V>(top + pixel_stride + channel)) +
           (weight[2] * load_vec<V>(bottom + channel) +
            weight[3] * load_vec<V>(bottom + pixel_stride + channel));
  }
};

// Samples `channels` channels, N at a time, into a left matrix. Whole vectors are read and written:
// what the last one overruns is overwritten by the next tap's samples, or lies in the row's slack.
template <class A, int N>
void gather(const TapPlan<A>& plan, const A* image, int64_t pixel_stride, int64_t row_stride,
            int64_t channels, int64_t pixels, A* columns) {
  for (int64_t i = 0; i < pixels; ++i) {
    const Sample<A> sample(plan, i, image, pixel_stride, row_stride);
    A* to = columns + i * kLeftStride;
    for (int64_t c = 0; c < channels; c += N) store_vec(to + c, sample.template values<N>(c));
  }
}

// Samples channels [first, first + count) of a segment.
template <class A>
void sample_channels(const Layout& layout, const SampleSource& source, const Segment& segment,
                     const TapPlan<A>& plan, int64_t first, int64_t count, int64_t pixels, A* columns) {
  const A* image = segment_image<A>(layout, source.staged, segment) + first;
  const int64_t pixel_stride = segment.channels;
  const int64_t row_stride = layout.staged_w * pixel_stride;
  if (count <= 4)
    gather<A, 4>(plan, image, pixel_stride, row_stride, 4, pixels, columns);
  else if (count <= 8)
    gather<A, 8>(plan, image, pixel_stride, row_stride, 8, pixels, columns);
  else
    gather<A, kLanes<A>>(plan, image, pixel_stride, row_stride, count, pixels, columns);
}

}  // namespace dcn::cpu::DCN_ISA
