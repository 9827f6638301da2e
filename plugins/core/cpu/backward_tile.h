// The backward pass of one slice of channels over one tile of output pixels.
//
// Data: the gradient of the columns is a product of grad_output and the weight; its scalar products
// with the four corners give the gradients of offset and mask, and it is added to the corners to
// give the gradient of the input. A slice is owned by one task, so nothing needs to be atomic and
// the order of every sum is fixed.
//
// Weight: the columns are sampled again and multiplied with grad_output over the pixels.
#pragma once

#include <cstring>

#include "gemm.h"
#include "sample.h"

namespace dcn::cpu::DCN_ISA {

template <class A>
struct BackwardScratch {
  TilePositions positions;
  GradientPlan<A> plan;
  A left[kTilePixels * kLeftStride];
  A grad_columns[kTilePixels * kLeftStride];
};

// Where one tap of a slice reads the image and adds to its gradient.
template <class A>
struct Corners {
  const A* image;  // the segment's staged image at the slice's first channel
  A* grad;         // likewise, or null
  int64_t pixel_stride, row_stride;
  int64_t channels;
};

// Scalar products of the column gradient with the corners' differences, N channels at a time.
template <class A, int N>
struct Sums {
  Vec<A, N> y{}, x{}, value{};

  DCN_INLINE void add(const Corners<A>& at, int64_t element, const A* grad_column, const A (&weight)[4],
                      A fraction_y, A fraction_x) {
    using V = Vec<A, N>;
    const int64_t places[4] = {element, element + at.pixel_stride, element + at.row_stride,
                               element + at.row_stride + at.pixel_stride};
    const V grad = load_vec<V>(grad_column);
    V corner[4];
    for (int i = 0; i < 4; ++i) corner[i] = load_vec<V>(at.image + places[i]);
    const V left = corner[2] - corner[0], right = corner[3] - corner[1];
    const V top = corner[1] - corner[0], bottom = corner[3] - corner[2];
    const V above = corner[0] + fraction_x * top, below = corner[2] + fraction_x * bottom;
    y += grad * (left + fraction_x * (right - left));
    x += grad * (top + fraction_y * (bottom - top));
    value += grad * (above + fraction_y * (below - above));
    if (at.grad)
      for (int i = 0; i < 4; ++i)
        store_vec(at.grad + places[i], load_vec<V>(at.grad + places[i]) + weight[i] * grad);
  }

  DCN_INLINE void total(A (&sums)[3]) const {
    sums[0] += sum_lanes<A, N>(y);
    sums[1] += sum_lanes<A, N>(x);
    sums[2] += sum_lanes<A, N>(value);
  }
};

// Every channel exactly once: beyond the last one lie another task's.
template <class A>
DCN_INLINE void backward_sample(const Corners<A>& at, int64_t element, const A* grad_column,
                                const A (&weight)[4], A fraction_y, A fraction_x, A (&sums)[3]) {
  int64_t c = 0;
  if (at.channels >= kLanes<A>) {
    Sums<A, kLanes<A>> wide;
    for (; c + kLanes<A> <= at.channels; c += kLanes<A>)
      wide.add(at, element + c, grad_column + c, weight, fraction_y, fraction_x);
    wide.total(sums);
  }
  if (at.channels - c >= 4) {
    Sums<A, 4> narrow;
    for (; c + 4 <= at.channels; c += 4)
      narrow.add(at, element + c, grad_column + c, weight, fraction_y, fraction_x);
    narrow.total(sums);
  }
  if (c < at.channels) {
    Sums<A, 1> single;
    for (; c < at.channels; ++c)
      single.add(at, element + c, grad_column + c, weight, fraction_y, fraction_x);
    single.total(sums);
  }
}

// The tile's rows of the staged grad_output of the slice's group: [pixel][padded_out].
template <class A>
DCN_INLINE const A* grad_output_rows(const BackwardTile& tile) {
  const Layout& layout = *tile.layout;
  return static_cast<const A*>(tile.staged_grad_output) +
         (tile.slice->group * layout.problem.out_pixels() + tile.first_pixel) * layout.padded_out;
}

// grad_columns [pixel][slice column] = grad_output [pixel][o] * weight [o][slice column]
template <class A>
void multiply_grad_output(const BackwardDataTile& job, BackwardScratch<A>* scratch) {
  const BackwardTile& tile = job.tile;
  const Layout& layout = *tile.layout;
  const int64_t outs = layout.problem.group_out_channels();
  const A* grad_output = grad_output_rows<A>(tile);
  const A* packed = static_cast<const A*>(job.packed_transposed);
  for (int64_t o = 0; o < outs; o += kColumnChunk) {
    const int64_t depth = outs - o < kColumnChunk ? outs - o : kColumnChunk;
    for (int64_t i = 0; i < tile.pixels; ++i)
      std::memcpy(scratch->left + i * kLeftStride, grad_output + i * layout.padded_out + o,
                  depth * sizeof(A));
    for (int64_t column = 0; column < tile.slice->padded_columns; column += kPanelWidth<A>) {
      const int64_t left = tile.slice->padded_columns - column;
      const int64_t width = left < kPanelWidth<A> ? left : kPanelWidth<A>;
      multiply_panel<A, Left::kRows>({depth, scratch->left, packed + column * outs + o * width, width,
                                      scratch->grad_columns + column, kLeftStride, o > 0},
                                     tile.pixels, width / kLanes<A>);
    }
  }
}

template <class T>
void backward_data_tile(const BackwardDataTile& job) {
  using A = Arithmetic<T>;
  const BackwardTile& tile = job.tile;
  const Layout& layout = *tile.layout;
  const Slice& slice = *tile.slice;
  const Segment& segment = layout.segments[slice.segment];
  auto* scratch = static_cast<BackwardScratch<A>*>(tile.scratch);
  multiply_grad_output(job, scratch);
  fill_positions(layout.problem, tile.first_pixel, tile.pixels, &scratch->positions);

  Corners<A> at;
  const StagedImage<A> image = segment_image<A>(layout, tile.source.staged, segment);
  at.image = image.first + slice.first_channel;
  at.grad = job.staged_grad_input
                ? static_cast<A*>(job.staged_grad_input) + segment.staged_begin + slice.first_channel
                : nullptr;
  at.pixel_stride = image.pixel_stride;
  at.row_stride = image.row_stride;
  at.channels = slice.channels;
  for (int64_t t = 0; t < slice.taps; ++t) {
    const GradientPlan<A>& plan = scratch->plan;
    fill_plan<A>(layout, tile.source, scratch->positions, segment.offset_group, slice.first_tap + t,
                 tile.first_pixel, tile.pixels, &scratch->plan);
    A* rows[3] = {};
    if (job.sums)
      for (int r = 0; r < 3; ++r)
        rows[r] = static_cast<A*>(job.sums) + (t * 3 + r) * job.sums_stride + tile.first_pixel -
                  job.sums_first_pixel;
    for (int64_t i = 0; i < tile.pixels; ++i) {
      A sums[3] = {};
      const A(&weight)[4] = plan.weight[i];
      backward_sample(at, plan.corner[i] * at.pixel_stride,
                      scratch->grad_columns + i * kLeftStride + t * slice.channels, weight,
                      plan.fraction_y[i], plan.fraction_x[i], sums);
      if (!job.sums) continue;
      rows[0][i] = sums[0] * plan.mask[i];
      rows[1][i] = sums[1] * plan.mask[i];
      rows[2][i] = sums[2];
    }
  }
}

template <class T>
void backward_weight_tile(const BackwardWeightTile& job) {
  using A = Arithmetic<T>;
  const BackwardTile& tile = job.tile;
  const Layout& layout = *tile.layout;
  const Slice& slice = *tile.slice;
  const Segment& segment = layout.segments[slice.segment];
  auto* scratch = static_cast<BackwardScratch<A>*>(tile.scratch);
  fill_positions(layout.problem, tile.first_pixel, tile.pixels, &scratch->positions);
  const StagedImage<A> image = segment_image<A>(layout, tile.source.staged, segment);
  TapPlan<A>& plan = scratch->plan;
  for (int64_t t = 0; t < slice.taps; ++t) {
    fill_plan<A>(layout, tile.source, scratch->positions, segment.offset_group, slice.first_tap + t,
                 tile.first_pixel, tile.pixels, &plan);
    sample_taps({image.first + slice.first_channel, image.pixel_stride, image.row_stride},
                static_cast<const TapPlan<A>*>(&plan), 1, slice.channels, tile.pixels,
                scratch->left + t * slice.channels);
  }
  const A* grad_output = grad_output_rows<A>(tile);
  for (int64_t o = 0; o < layout.padded_out; o += kPanelWidth<A>) {
    const int64_t left = layout.padded_out - o;
    const int64_t width = left < kPanelWidth<A> ? left : kPanelWidth<A>;
    multiply_panel<A, Left::kColumns>({tile.pixels, scratch->left, grad_output + o, layout.padded_out,
                                       static_cast<A*>(job.grad_columns) + o, layout.padded_out, true},
                                      slice.taps * slice.channels, width / kLanes<A>);
  }
}

template <class A, class C>
void sum_rows_as(const SumRow& row) {
  for (int64_t i = 0; i < row.pixels; ++i) {
    A sum = 0;
    for (int64_t part = 0; part < row.count; ++part) sum += static_cast<const A*>(row.parts[part])[i];
    static_cast<C*>(row.to)[i] = Store<C>::from(sum);
  }
}

template <class T>
void sum_rows(const SumRow& row) {
  using A = Arithmetic<T>;
  if constexpr (sizeof(A) == sizeof(double))
    return sum_rows_as<double, double>(row);
  else
    switch (row.coordinate_dtype) {
      case DType::kFloat16: return sum_rows_as<A, Float16>(row);
      case DType::kBFloat16: return sum_rows_as<A, BFloat16>(row);
      default: return sum_rows_as<A, float>(row);
    }
}

// Gradient of the bias of one channel. In double, which costs nothing beside the rest.
template <class T>
void sum_channel(const void* grad_output, int64_t batch, int64_t batch_stride, int64_t pixels,
                 void* grad_bias) {
  double sum = 0;
  for (int64_t n = 0; n < batch; ++n) {
    const T* row = static_cast<const T*>(grad_output) + n * batch_stride;
    for (int64_t i = 0; i < pixels; ++i) sum += load(row[i]);
  }
  *static_cast<T*>(grad_bias) = Store<T>::from(static_cast<Arithmetic<T>>(sum));
}

}  // namespace dcn::cpu::DCN_ISA
