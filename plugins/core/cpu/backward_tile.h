// The backward pass of one slice of channels over one tile of output pixels, in four steps:
//
//   gradient of the columns = grad_output * weight                     a product over output channels
//   where the samples lie                                              as in the forward pass
//   its scalar products with the corners: gradients of offset, mask;   sample by sample, which also
//   the gradient of the input, added to the corners; the columns       gives the columns again
//   gradient of the weight += columns * grad_output                    a product over pixels
//
// What is added to belongs to one task, so nothing needs to be atomic and the order of every sum is
// fixed.
#pragma once

#include "backward_sample.h"
#include "gemm.h"
#include "phases.h"

namespace dcn::cpu::DCN_ISA {

template <class A>
struct BackwardScratch {
  TilePositions positions;
  GradientPlan<A> plans[kPlannedTaps];
  TapProducts<A> products[kPlannedTaps];
  A columns[kBackwardPixels * kLeftStride];
  // Of depthwise layers: a tile's gradient of the weight.
  A grad_columns[kBackwardPixels * kLeftStride];
};

// The staged grad_output of the slice's group, in panels of output channels.
template <class A>
struct GradOutput {
  const A* first;        // the tile's first pixel
  int64_t panel_stride;  // elements

  DCN_INLINE explicit GradOutput(const BackwardTile& tile)
      : panel_stride(tile.layout->problem.out_pixels() * kPanelWidth<A>) {
    const int64_t panels = (tile.layout->padded_out + kPanelWidth<A> - 1) / kPanelWidth<A>;
    first = static_cast<const A*>(tile.staged_grad_output) + tile.slice->group * panels * panel_stride +
            tile.first_pixel * kPanelWidth<A>;
  }
  // [pixel][kPanelWidth]
  DCN_INLINE const A* panel(int64_t first_out) const {
    return first + first_out / kPanelWidth<A> * panel_stride;
  }
};

// grad_columns [pixel][slice column] = grad_output [pixel][o] * weight [o][slice column]
template <class A>
void multiply_grad_output(const BackwardTile& tile, BackwardScratch<A>* scratch) {
  const PhaseTimer timer(kMultiply);
  static_assert(kColumnChunk % kPanelWidth<A> == 0, "a chunk is whole panels");
  const Layout& layout = *tile.layout;
  const int64_t outs = layout.problem.group_out_channels();
  const GradOutput<A> grad_output(tile);
  const A* weight = static_cast<const A*>(tile.weight);
  // In pieces whose panel of the weight stays in the first-level cache.
  for (int64_t o = 0; o < outs; o += kColumnChunk) {
    const int64_t depth = outs - o < kColumnChunk ? outs - o : kColumnChunk;
    for (int64_t column = 0; column < tile.slice->padded_columns; column += kPanelWidth<A>) {
      const int64_t width = panel_width<A>(tile.slice->padded_columns, column);
      // A panel of the next tile's, while there are any: every slice reads them from far away.
      Coming<A> coming;
      if (column < depth) {
        coming.elements = tile.pixels * kPanelWidth<A>;
        coming.first = grad_output.panel(o + column) + coming.elements;
      }
      multiply_panel<A, Left::kPanels>(
          {depth, grad_output.panel(o), weight + column * outs + o * width, width,
           scratch->grad_columns + column, kLeftStride, o > 0, grad_output.panel_stride},
          tile.pixels, width / kLanes<A>, coming);
    }
  }
}

template <class A, class Columns, int kPixelStride>
auto backward_samples_of(const Segment& segment) {
  return segment.channels == kPixelStride ? backward_samples<A, Columns, kPixelStride, true>
                                          : backward_samples<A, Columns, kPixelStride>;
}

template <class A, class Columns>
auto backward_samples_for(const Segment& segment) {
  if constexpr (kTwoCorners<A>)
    if (segment.pixel_stride == 4) return backward_samples_of_four<A, Columns>;
  switch (segment.pixel_stride) {
    case 8: return backward_samples_of<A, Columns, 8>(segment);
    case 16: return backward_samples_of<A, Columns, 16>(segment);
    case 32: return backward_samples_of<A, Columns, 32>(segment);
    default: return backward_samples<A, Columns>;
  }
}

// Gradients of offset, mask and input, and what `columns` makes of the samples.
template <class A, class Columns>
void differentiate_samples(const BackwardTile& tile, const Columns& columns,
                           BackwardScratch<A>* scratch) {
  const PhaseTimer timer(kScatter);
  const Layout& layout = *tile.layout;
  const Slice& slice = *tile.slice;
  const Segment& segment = layout.segments[slice.segment];
  fill_positions(layout.problem, tile.first_pixel, tile.pixels, &scratch->positions);
  for (int64_t t = 0; t < slice.taps; ++t)
    fill_plan<A>(layout, tile.source, scratch->positions, segment.offset_group, slice.first_tap + t,
                 tile.first_pixel, tile.pixels, NextTile{tile.pixels}, &scratch->plans[t]);
  Corners<A> at{};
  at.image = segment_image<A>(layout, tile.source.staged, segment, layout.image_is_far);
  at.channels = slice.channels;
  if (tile.staged_grad_input) at.grad = static_cast<A*>(tile.staged_grad_input) + segment.staged_begin;
  backward_samples_for<A, Columns>(segment)(at, scratch->plans, slice.taps, tile.pixels, columns,
                                            scratch->products);
  if (!tile.sums[0].first && !tile.sums[2].first) return;
  for (int64_t t = 0; t < slice.taps; ++t) {
    A* sums[3];
    for (int kind = 0; kind < 3; ++kind) {
      A* const first = static_cast<A*>(tile.sums[kind].first);
      sums[kind] = first ? first + t * tile.sums[kind].stride : nullptr;
    }
    sums_of_products(scratch->plans[t], scratch->products[t], tile.pixels, sums);
  }
}

// Only the columns.
template <class A>
void sample_columns(const BackwardTile& tile, BackwardScratch<A>* scratch) {
  const PhaseTimer timer(kSample);
  const Layout& layout = *tile.layout;
  const Slice& slice = *tile.slice;
  const Segment& segment = layout.segments[slice.segment];
  const StagedImage<A> image =
      segment_image<A>(layout, tile.source.staged, segment, layout.image_is_far);
  fill_positions(layout.problem, tile.first_pixel, tile.pixels, &scratch->positions);
  TapPlan<A>* plan = &scratch->plans[0];
  for (int64_t t = 0; t < slice.taps; ++t) {
    fill_plan<A>(layout, tile.source, scratch->positions, segment.offset_group, slice.first_tap + t,
                 tile.first_pixel, tile.pixels, NextTile{tile.pixels}, plan);
    // These are the columns of differentiate_samples, to the last bit.
    sample_taps(image, plan, 1, slice.channels, tile.pixels, scratch->columns + t * slice.channels);
  }
}

template <class A>
void add_weight_gradient(const BackwardTile& tile, BackwardScratch<A>* scratch) {
  const PhaseTimer timer(kMultiply);
  const int64_t padded_out = tile.layout->padded_out;
  const GradOutput<A> grad_output(tile);
  for (int64_t o = 0; o < padded_out; o += kPanelWidth<A>) {
    const int64_t width = panel_width<A>(padded_out, o);
    multiply_panel<A, Left::kColumns>(
        {tile.pixels, scratch->columns, grad_output.panel(o), kPanelWidth<A>,
         static_cast<A*>(tile.grad_columns) + o * tile.slice->padded_columns, width, true},
        tile.slice->taps * tile.slice->channels, width / kLanes<A>);
  }
}

template <class T>
void backward_tile(const BackwardTile& tile) {
  using A = Arithmetic<T>;
  auto* scratch = static_cast<BackwardScratch<A>*>(tile.scratch);
  if (tile.weight) {
    multiply_grad_output(tile, scratch);
    differentiate_samples(
        tile,
        ColumnMatrices<A>{scratch->grad_columns, tile.grad_columns ? scratch->columns : nullptr,
                          tile.slice->channels},
        scratch);
  } else {
    sample_columns(tile, scratch);
  }
  if (tile.grad_columns) add_weight_gradient(tile, scratch);
}

template <class A, class C>
void sum_rows_as(const SumRow& row) {
  constexpr int N = kLanes<A>;
  for (int64_t i = 0; i < row.elements; i += N) {
    const int64_t count = row.elements - i;
    Vec<A> sum{};
    for (int64_t part = 0; part < row.count; ++part)
      sum += load_lanes<A, N>(static_cast<const A*>(row.parts[part]) + i, count);
    store_lanes<C, N>(static_cast<C*>(row.to) + i, sum, count);
  }
}

template <class T>
void sum_rows(const SumRow& row) {
  using A = Arithmetic<T>;
  if constexpr (sizeof(A) == sizeof(double))
    return sum_rows_as<double, double>(row);
  else
    switch (row.dtype) {
      case DType::kFloat16: return sum_rows_as<A, Float16>(row);
      case DType::kBFloat16: return sum_rows_as<A, BFloat16>(row);
      default: return sum_rows_as<A, float>(row);
    }
}

// Gradient of the bias of one channel. In double, which costs nothing beside the rest; in several sums,
// none of which waits for another.
template <class T>
void sum_channel(const void* grad_output, int64_t batch, int64_t batch_stride, int64_t pixels,
                 void* grad_bias) {
  constexpr int N = kFourLanes<double>, kSums = 4;
  Vec<double, N> sums[kSums] = {};
  for (int64_t n = 0; n < batch; ++n) {
    const T* row = static_cast<const T*>(grad_output) + n * batch_stride;
    for (int64_t i = 0; i < pixels; i += kSums * N)
#pragma GCC unroll 4
      for (int j = 0; j < kSums; ++j)
        sums[j] += __builtin_convertvector((load_lanes<T, N>(row + i + j * N, pixels - i - j * N)),
                                           Vec<double, N>);
  }
  const Vec<double, N> all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double sum = 0;
  for (int lane = 0; lane < N; ++lane) sum += all[lane];
  *static_cast<T*>(grad_bias) = Store<T>::from(static_cast<Arithmetic<T>>(sum));
}

}  // namespace dcn::cpu::DCN_ISA
