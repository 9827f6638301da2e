// The backward pass of samples: from the gradient of the columns to those of offset, mask and input.
#pragma once

#include "sample.h"

namespace dcn::cpu::DCN_ISA {

// Where the slice reads the image and adds to its gradient, at its first channel.
template <class A>
struct Corners {
  StagedImage<A> image;
  A* grad;  // null: the gradient of the input is not wanted
  int64_t channels;

  // What a sample will need, as in the forward pass, and what it will add to.
  DCN_INLINE void prefetch(const TapPlan<A>& plan, int64_t pixel) const {
    Sample<A>::prefetch(plan, pixel, image);
    if (grad) Sample<A>::prefetch(plan, pixel, {grad, image.pixel_stride, image.row_stride});
  }
};

// The columns, as matrices: their gradient is read, they are written.
template <class A>
struct ColumnMatrices {
  const A* grads;
  A* values;  // null: not wanted
  int64_t channels;

  struct At {
    const A* grads;
    A* values;
    int64_t element;

    template <int N>
    DCN_INLINE Vec<A, N> gradient(int64_t c) const {
      return load_vec<Vec<A, N>>(grads + element + c);
    }
    template <int N>
    DCN_INLINE void take(int64_t c, Vec<A, N> sampled) const {
      store_vec(values + element + c, sampled);
    }
  };
  DCN_INLINE bool wanted() const { return values != nullptr; }
  DCN_INLINE At at(int64_t pixel, int64_t tap) const {
    return {grads, values, pixel * kLeftStride + tap * channels};
  }
};

// Scalar products over channels of the column gradient with the upper left corner and with the
// differences between corners. All that the gradients of offset and mask need follows from these
// four, and nothing is lost to cancellation where the image is smooth.
template <class A, int N>
struct Products {
  Vec<A, N> corner{}, left{}, top{},
      bottom{};  // left: lower minus upper; top, bottom: right minus left

  DCN_INLINE Vec<A, 4> totals() const { return sum_each<A, N>(corner, left, top, bottom); }
};

// One pixel and tap of a slice, N channels at a time.
template <class A, class Column>
struct BackwardSample {
  const Sample<A>& sample;
  const Corners<A>& at;
  const Column& column;
  const bool takes_samples;  // the column does

  // Lanes from `count` on belong to another tap: they count as zero.
  template <int N>
  DCN_INLINE void add(int64_t c, int64_t count, Products<A, N>* products) const {
    using V = Vec<A, N>;
    V g = column.template gradient<N>(c);
    if (count < N) g = first_lanes<A, N>(g, count);
    const V top_left = load_vec<V>(sample.top_left + c), top_right = load_vec<V>(sample.top_right + c);
    const V bottom_left = load_vec<V>(sample.bottom_left + c),
            bottom_right = load_vec<V>(sample.bottom_right + c);
    products->corner += g * top_left;
    products->left += g * (bottom_left - top_left);
    products->top += g * (top_right - top_left);
    products->bottom += g * (bottom_right - bottom_left);
    if (takes_samples) {
      V value = lower_lanes<A, N>(sample.weight[0]) * top_left;
      value += lower_lanes<A, N>(sample.weight[1]) * top_right;
      value += lower_lanes<A, N>(sample.weight[2]) * bottom_left;
      value += lower_lanes<A, N>(sample.weight[3]) * bottom_right;
      column.template take<N>(c, value);
    }
    if (at.grad) {
      A* const top = at.grad + (sample.top_left - at.image.first) + c;
      A* const bottom = top + at.image.row_stride;
      add_to_corner(0, top, g);
      add_to_corner(1, top + at.image.pixel_stride, g);
      add_to_corner(2, bottom, g);
      add_to_corner(3, bottom + at.image.pixel_stride, g);
    }
  }

  template <class V>
  DCN_INLINE void add_to_corner(int corner, A* grad, V g) const {
    constexpr int N = sizeof(V) / sizeof(A);
    store_vec(grad, load_vec<V>(grad) + lower_lanes<A, N>(sample.weight[corner]) * g);
  }

  // All channels of a staged pixel that is kPixelStride wide.
  template <int kPixelStride>
  DCN_INLINE Vec<A, 4> run() const {
    constexpr int N = kPixelStride < kFourLanes<A> ? kPixelStride : kFourLanes<A>;
    Products<A, N> products;
    for (int64_t c = 0; c < kPixelStride; c += N) add(c, at.channels - c, &products);
    return products.totals();
  }

  // All channels, each exactly once. Any staged pixel has room for whole vectors of kTail.
  DCN_INLINE Vec<A, 4> run() const {
    constexpr int kTail = kFourLanes<A> < 8 ? kFourLanes<A> : 8;
    Vec<A, 4> totals{};
    int64_t c = 0;
    if constexpr (kTail < kLanes<A>) {
      Products<A, kLanes<A>> wide;
      for (; c + kLanes<A> <= at.channels; c += kLanes<A>) add(c, kLanes<A>, &wide);
      if (c > 0) totals = wide.totals();
    }
    if (c < at.channels) {
      Products<A, kTail> narrow;
      for (; c < at.channels; c += kTail) add(c, at.channels - c, &narrow);
      totals += narrow.totals();
    }
    return totals;
  }
};

// As BackwardSample, where pixels are four channels apart: two corners are read as one vector. What is
// added to the gradient is not: a vector that was stored in two parts takes long to come back.
template <class A, class Column>
DCN_INLINE Vec<A, 4> backward_of_four(const TapPlan<A>& plan, int64_t pixel, const Corners<A>& at,
                                      const Column& column, bool takes_samples) {
  using V = Vec<A, 4>;
  const int64_t first = int64_t{plan.corner[pixel]} * 4;
  const Vec<A, 8> top = load_vec<Vec<A, 8>>(at.image.first + first);
  const Vec<A, 8> bottom = load_vec<Vec<A, 8>>(at.image.first + first + at.image.row_stride);
  const V w = load_vec<V>(plan.weight[pixel]);
  V g = column.template gradient<4>(0);
  if (at.channels < 4) g = first_lanes<A, 4>(g, at.channels);
  if (takes_samples) column.template take<4>(0, blend_of_four<A>(w, top, bottom));
  if (at.grad) {
    A* const to = at.grad + first;
    A* const below = to + at.image.row_stride;
    // Weights straight from memory to all lanes.
    const A* const weight = plan.weight[pixel];
    store_vec(to, load_vec<V>(to) + weight[0] * g);
    store_vec(to + 4, load_vec<V>(to + 4) + weight[1] * g);
    store_vec(below, load_vec<V>(below) + weight[2] * g);
    store_vec(below + 4, load_vec<V>(below + 4) + weight[3] * g);
  }
  const Vec<A, 8> g_twice = __builtin_shufflevector(g, g, 0, 1, 2, 3, 0, 1, 2, 3);
  const Vec<A, 8> lefts = __builtin_shufflevector(top, bottom, 0, 1, 2, 3, 8, 9, 10, 11);
  const Vec<A, 8> rights = __builtin_shufflevector(top, bottom, 4, 5, 6, 7, 12, 13, 14, 15);
  const Vec<A, 8> none = {};
  const Vec<A, 8> from = __builtin_shufflevector(none, top, 0, 1, 2, 3, 8, 9, 10, 11);
  const Vec<A, 8> rise = g_twice * (lefts - from);   // the corner; lower minus upper
  const Vec<A, 8> run = g_twice * (rights - lefts);  // right minus left, above and below
  const Vec<A, 8> pairs = __builtin_shufflevector(rise, run, 0, 2, 8, 10, 4, 6, 12, 14) +
                          __builtin_shufflevector(rise, run, 1, 3, 9, 11, 5, 7, 13, 15);
  const V corner_top = __builtin_shufflevector(pairs, pairs, 0, 4, 2, 6);
  return corner_top + __builtin_shufflevector(pairs, pairs, 1, 5, 3, 7);
}

// Products of one tap, as Products has them.
template <class A>
using TapProducts = A[kTilePixels][4];

// `taps` taps of a slice for all pixels of a tile. Columns: where their gradient comes from, and what
// becomes of the samples. kPixelStride: the staged image's, where it is one of the usual ones, so that
// no loop over channels is left; or 0. kWhole: all of its lanes are channels.
template <class A, class Columns, int kPixelStride = 0, bool kWhole = false>
void backward_samples(const Corners<A>& corners, const GradientPlan<A>* plans, int64_t taps,
                      int64_t pixels, const Columns& given, TapProducts<A>* products) {
  Corners<A> at = corners;  // not reloaded after every store
  const Columns columns = given;
  if (kPixelStride > 0) at.image.pixel_stride = kPixelStride;
  if (kWhole) at.channels = kPixelStride;
  // For fewer channels than that it costs more than it brings.
  const bool asks_ahead = at.image.is_far && at.image.pixel_stride >= 16;
  const int64_t distance = pixels_ahead(taps, at.image.pixel_stride);
  for (int64_t i = 0; i < pixels; ++i) {
    const int64_t ahead = pixel_ahead(i, distance, pixels);
    for (int64_t tap = 0; tap < taps; ++tap) {
      if (asks_ahead) at.prefetch(plans[tap], ahead);
      const Sample<A> sample(plans[tap], i, at.image);
      const auto column = columns.at(i, tap);
      const BackwardSample<A, decltype(column)> backward{sample, at, column, columns.wanted()};
      if constexpr (kPixelStride > 0)
        store_vec(products[tap][i], backward.template run<kPixelStride>());
      else
        store_vec(products[tap][i], backward.run());
    }
  }
}

template <class A, class Columns>
void backward_samples_of_four(const Corners<A>& corners, const GradientPlan<A>* plans, int64_t taps,
                              int64_t pixels, const Columns& given, TapProducts<A>* products) {
  const Corners<A> at = corners;
  const Columns columns = given;
  for (int64_t i = 0; i < pixels; ++i)
    for (int64_t tap = 0; tap < taps; ++tap)
      store_vec(products[tap][i],
                backward_of_four(plans[tap], i, at, columns.at(i, tap), columns.wanted()));
}

// The sums that the gradients of offset y, offset x and mask are made of, of one tap, as far as wanted.
template <class A>
void sums_of_products(const GradientPlan<A>& plan, const TapProducts<A>& products, int64_t pixels,
                      A* const (&sums)[3]) {
  constexpr int N = kFourLanes<A>;
  using V = Vec<A, N>;
  for (int64_t i = 0; i < pixels; i += N) {
    V corner, left, top, bottom;
    load_interleaved<A, N>(products[i], &corner, &left, &top, &bottom);
    const V y = load_vec<V>(plan.fraction_y + i), x = load_vec<V>(plan.fraction_x + i);
    const V mask = load_vec<V>(plan.mask + i);
    // The next tile's, as for coordinates: a store that waits for its line holds up those behind it.
    if (i % kLine<A> == 0)
      for (A* const sum : sums)
        if (sum) prefetch_near(sum + pixels + i + kLine<A> - 1);
    const V by_y = left + x * (bottom - top), by_x = top + y * (bottom - top);
    if (sums[0]) store_lanes<A, N>(sums[0] + i, mask * by_y, pixels - i);
    if (sums[1]) store_lanes<A, N>(sums[1] + i, mask * by_x, pixels - i);
    if (sums[2]) store_lanes<A, N>(sums[2] + i, corner + x * top + y * by_y, pixels - i);
  }
}

}  // namespace dcn::cpu::DCN_ISA
