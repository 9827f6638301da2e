// Samples of a tile of output pixels: first where they lie and how their four corners weigh (a plan,
// vectorised over pixels), then the values (vectorised over channels).
#pragma once

#include <type_traits>

#include "convert.h"
#include "gemm.h"
#include "kernels.h"
#include "sampling.h"
#include "shuffle.h"

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
  // Plans are made a vector of pixels at a time.
  for (int64_t i = pixels; i < kLanes<float>; ++i) positions->y[i] = positions->x[i] = 0;
}

// One tap of one offset group, for the pixels of a tile.
template <class A>
struct TapPlan {
  alignas(64) A weight[kTilePixels][4];  // of (top left, top right, bottom left, bottom right), mask
                                         // included
  int32_t corner[kTilePixels];           // staged pixel of the upper left corner
};

// What the gradients need besides.
template <class A>
struct GradientPlan : TapPlan<A> {
  A fraction_y[kTilePixels];
  A fraction_x[kTilePixels];
  A mask[kTilePixels];
};

// Which coordinates are needed next, asked for ahead: rows of them are far apart in memory, and what a
// tile reads of one is too short for the hardware to foresee.
//
// The forward pass goes on with the next tap. Where there are more offset groups, one tap ahead is too
// late: with the same tap of the next group. To the second level only: a group's plans fill the first.
// Where none comes, the row itself is asked for: cheaper than to decide in the loop.
struct NextTap {
  int64_t distance;  // elements, of the mask

  DCN_INLINE NextTap(const Problem& p, int64_t offset_group, int64_t tap) {
    const int64_t ahead = p.offset_group > 1 ? p.taps() : 1;
    const bool comes = offset_group * p.taps() + tap + ahead < p.offset_group * p.taps();
    distance = comes ? ahead * p.out_pixels() : 0;
  }
  template <class C>
  DCN_INLINE void ask(const C* offset_y, const C* offset_x, const C* mask) const {
    prefetch_far(offset_y + 2 * distance);
    prefetch_far(offset_x + 2 * distance);
    if (mask) prefetch_far(mask + distance);
  }
};

// The backward pass goes on with the same taps of the next tile. After the last one that is the next
// row, or nothing: to ask costs nothing then.
struct NextTile {
  int64_t distance;  // pixels of a tile

  template <class C>
  DCN_INLINE void ask(const C* offset_y, const C* offset_x, const C* mask) const {
    prefetch_near(offset_y + distance);
    prefetch_near(offset_x + distance);
    if (mask) prefetch_near(mask + distance);
  }
};

// C: the coordinate dtype.
template <class C, class A, class Plan, class Next>
void fill_plan_from(const Layout& layout, const SampleSource& source, const TilePositions& positions,
                    int64_t offset_group, int64_t tap, int64_t first_pixel, int64_t pixels, Next next,
                    Plan* plan) {
  constexpr int N = kLanes<A>;
  using V = Vec<A>;
  using Int = typename Number<V>::Int;
  const Problem& p = layout.problem;
  const int64_t row = offset_group * p.taps() + tap;
  const int64_t out_pixels = p.out_pixels();
  const C* offset_y = static_cast<const C*>(source.offset) + 2 * row * out_pixels + first_pixel;
  const C* offset_x = offset_y + out_pixels;
  const C* mask =
      source.mask ? static_cast<const C*>(source.mask) + row * out_pixels + first_pixel : nullptr;
  const int32_t tap_y = static_cast<int32_t>(tap / p.kernel_w * p.dilation_h);
  const int32_t tap_x = static_cast<int32_t>(tap % p.kernel_w * p.dilation_w);
  const int32_t in_h = static_cast<int32_t>(p.in_h), in_w = static_cast<int32_t>(p.in_w);
  const int32_t staged_w = static_cast<int32_t>(layout.staged_w);
  const int32_t origin = kBorder * (staged_w + 1);
  const auto fill = [&](int64_t i, int64_t count) __attribute__((always_inline)) {
    // Once for each line, and at the end. Rows do not begin with a line: the one that holds the first
    // of kLine numbers was asked for with those before them, and what is asked for is where the last
    // lies.
    if (i % kLine<C> == 0 || i + N == pixels) {
      const int64_t last = i + kLine<C> - 1;
      next.ask(offset_y + last, offset_x + last, mask ? mask + last : nullptr);
    }
    const auto y = sample_axis(load_lanes<C, N>(offset_y + i, count),
                               load_vec<Int>(positions.y + i) + tap_y, in_h);
    const auto x = sample_axis(load_lanes<C, N>(offset_x + i, count),
                               load_vec<Int>(positions.x + i) + tap_x, in_w);
    const V m = mask ? load_lanes<C, N>(mask + i, count) : V{} + A(1);
    const V bottom = y.fraction * m, top = (A(1) - y.fraction) * m;
    const V right = x.fraction, left = A(1) - x.fraction;
    store_vec(plan->corner + i, y.low * staged_w + x.low + origin);
    store_interleaved<A, N>(plan->weight[i], top * left, top * right, bottom * left, bottom * right);
    if constexpr (std::is_same_v<Plan, GradientPlan<A>>) {
      store_vec(plan->fraction_y + i, y.fraction);
      store_vec(plan->fraction_x + i, x.fraction);
      store_vec(plan->mask + i, m);
    }
  };
  for_vectors<N>(pixels, fill);
}

template <class A, class Plan, class Next>
void fill_plan(const Layout& layout, const SampleSource& source, const TilePositions& positions,
               int64_t offset_group, int64_t tap, int64_t first_pixel, int64_t pixels, Next next,
               Plan* plan) {
  const auto fill = [&](auto coordinate) {
    fill_plan_from<decltype(coordinate), A>(layout, source, positions, offset_group, tap, first_pixel,
                                            pixels, next, plan);
  };
  if constexpr (std::is_same_v<A, double>)
    fill(double{});
  else
    switch (layout.problem.coordinate_dtype) {
      case DType::kFloat16: return fill(Float16{});
      case DType::kBFloat16: return fill(BFloat16{});
      default: return fill(float{});
    }
}

// A staged image, or some of its channels.
template <class A>
struct StagedImage {
  const A* first;
  int64_t pixel_stride, row_stride;
  bool is_far = false;  // what will be needed is asked for ahead
};

template <class A>
DCN_INLINE StagedImage<A> segment_image(const Layout& layout, const void* staged,
                                        const Segment& segment, bool is_far = false) {
  return {static_cast<const A*>(staged) + segment.staged_begin, segment.pixel_stride,
          layout.staged_w * segment.pixel_stride, is_far};
}

// One sample: its four corners in a channels-last image, and what each weighs, in as many lanes as are
// blended at a time, at most. All by value: what is stored in between may be anything, for all the
// compiler knows.
template <class A, int kMost = kFourLanes<A>>
struct Sample {
  const A *top_left, *top_right, *bottom_left, *bottom_right;
  Vec<A, kMost> weight[4];

  DCN_INLINE Sample(const TapPlan<A>& plan, int64_t pixel, const StagedImage<A>& image)
      : top_left(image.first + plan.corner[pixel] * image.pixel_stride),
        top_right(top_left + image.pixel_stride),
        bottom_left(top_left + image.row_stride),
        bottom_right(bottom_left + image.pixel_stride) {
    load_each_to_all<A, kMost>(plan.weight[pixel], weight);
  }

  // Where it is about to be needed: no hardware foresees where the next offset leads. The lower corners
  // only: the upper ones have mostly been those of a tap, or of a row of the image, before.
  DCN_INLINE static void prefetch(const TapPlan<A>& plan, int64_t pixel, const StagedImage<A>& image) {
    const A* top = image.first + plan.corner[pixel] * image.pixel_stride;
    prefetch_row(top + image.row_stride, 2 * image.pixel_stride);
  }

  // Its values for N channels from `channel` on.
  template <int N>
  DCN_INLINE Vec<A, N> values(int64_t channel) const {
    using V = Vec<A, N>;
    V sum = lower_lanes<A, N>(weight[0]) * load_vec<V>(top_left + channel);
    sum += lower_lanes<A, N>(weight[1]) * load_vec<V>(top_right + channel);
    sum += lower_lanes<A, N>(weight[2]) * load_vec<V>(bottom_left + channel);
    sum += lower_lanes<A, N>(weight[3]) * load_vec<V>(bottom_right + channel);
    return sum;
  }
};

// Where pixels are four channels apart and a vector has room for two, two corners are read as one.
template <class A>
inline constexpr bool kTwoCorners = kLanes<A> >= 8;

template <class A>
DCN_INLINE Vec<A, 4> blend_of_four(Vec<A, 4> weight, Vec<A, 8> top, Vec<A, 8> bottom) {
  const Vec<A, 8> both = __builtin_shufflevector(weight, weight, 0, 0, 0, 0, 1, 1, 1, 1) * top +
                         __builtin_shufflevector(weight, weight, 2, 2, 2, 2, 3, 3, 3, 3) * bottom;
  return __builtin_shufflevector(both, both, 0, 1, 2, 3) +
         __builtin_shufflevector(both, both, 4, 5, 6, 7);
}

template <class A>
DCN_INLINE Vec<A, 4> sample_of_four(const TapPlan<A>& plan, int64_t pixel,
                                    const StagedImage<A>& image) {
  using V = Vec<A, 8>;
  const A* top = image.first + int64_t{plan.corner[pixel]} * 4;
  return blend_of_four<A>(load_vec<Vec<A, 4>>(plan.weight[pixel]), load_vec<V>(top),
                          load_vec<V>(top + image.row_stride));
}

// Samples `channels` channels for consecutive taps into a left matrix, tap after tap in its rows. Pixel
// by pixel: the taps of one lie close together, and close to those of the pixel before, in the
// first-level cache. Whole vectors are read and written: what the last one overruns is overwritten by
// the next tap's samples, or lies in the row's slack.
//
// E: the left matrix's elements. Values of one tap begin on a whole element: pairs end with a zero
// where there are no channels for them. Not with a sample of the zeros after the last channel: an
// infinite mask makes a NaN of that.
template <class E>
struct ColumnRows {
  using Value = std::conditional_t<std::is_same_v<E, Pair>, BFloat16, E>;
  Value* first;
  int64_t channels;

  ColumnRows(E* elements, int64_t channels)
      : first(reinterpret_cast<Value*>(elements)), channels(channels) {}

  DCN_INLINE int64_t tap_stride() const {
    return (channels + kValues<E> - 1) / kValues<E> * kValues<E>;
  }
  DCN_INLINE Value* at(int64_t pixel, int64_t tap) const {
    return first + pixel * kLeftStride * kValues<E> + tap * tap_stride();
  }
  DCN_INLINE void finish(Value* values) const {
    if (kValues<E> > 1 && channels % kValues<E> != 0) store_vec(values + channels, uint16_t{0});
  }
};

// How many pixels ahead samples are asked for, so that they have arrived from beyond the second-level
// cache when their turn comes, which is the sooner the less a pixel takes.
DCN_INLINE int64_t pixels_ahead(int64_t taps, int64_t pixel_stride) {
  constexpr int64_t kElements = 2304, kMost = 12;
  const int64_t pixels = kElements / (taps * pixel_stride);
  return pixels < 1 ? 1 : pixels > kMost ? kMost : pixels;
}

// That pixel; the same one where none is so far ahead.
DCN_INLINE int64_t pixel_ahead(int64_t pixel, int64_t distance, int64_t pixels) {
  return pixel + distance < pixels ? pixel + distance : pixel;
}

// kPixelStride: the image's, where it is one of the usual ones, so that no loop over channels is left;
// or 0. kIsFar: as StagedImage says.
template <class E, bool kIsFar, int N, int kPixelStride = 0>
void gather(const StagedImage<Sum<E>>& given, const TapPlan<Sum<E>>* plans, int64_t taps,
            int64_t channels, int64_t pixels, E* columns) {
  using Rows = ColumnRows<E>;
  StagedImage<Sum<E>> image = given;  // not reloaded after every store
  if (kPixelStride > 0) image.pixel_stride = kPixelStride;
  const int64_t read = kPixelStride > 0 ? kPixelStride : channels;
  const Rows rows(columns, channels);
  const int64_t distance = pixels_ahead(taps, image.pixel_stride);
  for (int64_t i = 0; i < pixels; ++i) {
    const int64_t ahead = pixel_ahead(i, distance, pixels);
    for (int64_t tap = 0; tap < taps; ++tap) {
      if (kIsFar) Sample<Sum<E>>::prefetch(plans[tap], ahead, image);
      const Sample<Sum<E>, kAtLeastFour<N>> sample(plans[tap], i, image);
      auto* to = rows.at(i, tap);
      for (int64_t c = 0; c < read; c += N)
        store_whole<typename Rows::Value, N>(to + c, sample.template values<N>(c));
      rows.finish(to);
    }
  }
}

template <class E, bool kIsFar>
void gather_four(const StagedImage<Sum<E>>& given, const TapPlan<Sum<E>>* plans, int64_t taps,
                 int64_t channels, int64_t pixels, E* columns) {
  using Rows = ColumnRows<E>;
  StagedImage<Sum<E>> image = given;
  image.pixel_stride = 4;
  const Rows rows(columns, channels);
  const int64_t distance = pixels_ahead(taps, image.pixel_stride);
  for (int64_t i = 0; i < pixels; ++i) {
    const int64_t ahead = pixel_ahead(i, distance, pixels);
    for (int64_t tap = 0; tap < taps; ++tap) {
      if (kIsFar) Sample<Sum<E>>::prefetch(plans[tap], ahead, image);
      auto* to = rows.at(i, tap);
      store_whole<typename Rows::Value, 4>(to, sample_of_four(plans[tap], i, image));
      rows.finish(to);
    }
  }
}

template <class E, bool kIsFar>
auto gather_for(int64_t pixel_stride) {
  constexpr int N = kLanes<E>;
  if (pixel_stride == 4) {
    if constexpr (kTwoCorners<Sum<E>>)
      return gather_four<E, kIsFar>;
    else
      return gather<E, kIsFar, 4, 4>;
  }
  return pixel_stride == 8    ? gather<E, kIsFar, 8, 8>
         : pixel_stride == 16 ? gather<E, kIsFar, N, 16>
         : pixel_stride == 32 ? gather<E, kIsFar, N, 32>
                              : gather<E, kIsFar, N>;
}

template <class E>
void sample_taps(const StagedImage<Sum<E>>& image, const TapPlan<Sum<E>>* plans, int64_t taps,
                 int64_t channels, int64_t pixels, E* columns) {
  const auto sample =
      image.is_far ? gather_for<E, true>(image.pixel_stride) : gather_for<E, false>(image.pixel_stride);
  sample(image, plans, taps, channels, pixels, columns);
}

}  // namespace dcn::cpu::DCN_ISA
