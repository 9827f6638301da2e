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
template <class A>
struct BackwardSample {
  const Sample<A>& sample;
  const Corners<A>& at;
  const A* grad_column;  // [channels]
  A* column;             // [channels], the sampled values; null: not wanted
  A* grad[4];            // the corners' gradients

  DCN_INLINE BackwardSample(const Sample<A>& sample, const Corners<A>& at, const A* grad_column,
                            A* column)
      : sample(sample), at(at), grad_column(grad_column), column(column) {
    const A* const corners[4] = {sample.top_left, sample.top_right, sample.bottom_left,
                                 sample.bottom_right};
    for (int i = 0; i < 4; ++i) grad[i] = at.grad ? at.grad + (corners[i] - at.image.first) : nullptr;
  }

  // Lanes from `count` on belong to another tap: they count as zero.
  template <int N>
  DCN_INLINE void add(int64_t c, int64_t count, Products<A, N>* products) const {
    using V = Vec<A, N>;
    V g = load_vec<V>(grad_column + c);
    if (count < N) g = first_lanes<A, N>(g, count);
    const V top_left = load_vec<V>(sample.top_left + c), top_right = load_vec<V>(sample.top_right + c);
    const V bottom_left = load_vec<V>(sample.bottom_left + c),
            bottom_right = load_vec<V>(sample.bottom_right + c);
    products->corner += g * top_left;
    products->left += g * (bottom_left - top_left);
    products->top += g * (top_right - top_left);
    products->bottom += g * (bottom_right - bottom_left);
    if (column) {
      V value = sample.weight[0] * top_left;
      value += sample.weight[1] * top_right;
      value += sample.weight[2] * bottom_left;
      value += sample.weight[3] * bottom_right;
      store_vec(column + c, value);
    }
    if (at.grad)
      for (int i = 0; i < 4; ++i)
        store_vec(grad[i] + c, load_vec<V>(grad[i] + c) + sample.weight[i] * g);
  }

  // All channels, each exactly once. A staged pixel has room for whole vectors of kTail.
  template <int kTail>
  DCN_INLINE Vec<A, 4> run() const {
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

// Products of one tap, as Products has them.
template <class A>
using TapProducts = A[kPlannedPixels][4];

// `taps` taps of a slice for all pixels of a tile.
template <class A, int kTail>
void backward_samples(const Corners<A>& corners, const GradientPlan<A>* plans, int64_t taps,
                      int64_t pixels, const A* grad_columns, A* columns, TapProducts<A>* products) {
  const Corners<A> at = corners;  // not reloaded after every store
  for (int64_t i = 0; i < pixels; ++i)
    for (int64_t tap = 0; tap < taps; ++tap) {
      const Sample<A> sample(plans[tap], i, at.image);
      const int64_t element = i * kLeftStride + tap * at.channels;
      const BackwardSample<A> backward(sample, at, grad_columns + element,
                                       columns ? columns + element : nullptr);
      store_vec(products[tap][i], backward.template run<kTail>());
    }
}

// The sums that the gradients of offset and mask are made of, as BackwardTile says, of one tap.
template <class A>
void sums_of_products(const GradientPlan<A>& plan, const TapProducts<A>& products, int64_t pixels,
                      A* sums, int64_t sums_stride) {
  constexpr int N = kLanes<A> < 4 ? 4 : kLanes<A>;
  using V = Vec<A, N>;
  for (int64_t i = 0; i < pixels; i += N) {
    V corner, left, top, bottom;
    load_interleaved<A, N>(products[i], &corner, &left, &top, &bottom);
    const V y = load_vec<V>(plan.fraction_y + i), x = load_vec<V>(plan.fraction_x + i);
    const V mask = load_vec<V>(plan.mask + i);
    const V by_y = left + x * (bottom - top), by_x = top + y * (bottom - top);
    store_lanes<A, N>(sums + i, mask * by_y, pixels - i);
    store_lanes<A, N>(sums + sums_stride + i, mask * by_x, pixels - i);
    store_lanes<A, N>(sums + 2 * sums_stride + i, corner + x * top + y * by_y, pixels - i);
  }
}

}  // namespace dcn::cpu::DCN_ISA
