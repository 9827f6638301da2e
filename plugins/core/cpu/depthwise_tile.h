// One tile where every channel is a group of its own: there is no matrix to multiply. In the forward
// pass samples are weighted and added as they are taken, vectorised over channels; so is what the
// backward pass adds to the gradient of the weight.
#pragma once

#include "backward_tile.h"
#include "forward_tile.h"

namespace dcn::cpu::DCN_ISA {

// results[pixel][c] (+)= sum over taps of weight[tap][c] * sample. Whole vectors are read and written:
// what the last one overruns is overwritten when the next segment comes, or lies between the rows.
template <class A, int N, int kVectors>
void add_taps(const StagedImage<A>& image, const TapPlan<A>* plans, int64_t taps, const A* weight,
              int64_t weight_stride, int64_t pixels, bool accumulate, A* results,
              int64_t result_stride) {
  using V = Vec<A, N>;
  for (int64_t i = 0; i < pixels; ++i) {
    A* to = results + i * result_stride;
    V sums[kVectors] = {};
    for (int64_t tap = 0; tap < taps; ++tap) {
      const Sample<A, kAtLeastFour<N>> sample(plans[tap], i, image);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j)
        sums[j] += load_vec<V>(weight + tap * weight_stride + j * N) * sample.template values<N>(j * N);
    }
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j)
      store_vec(to + j * N, accumulate ? load_vec<V>(to + j * N) + sums[j] : sums[j]);
  }
}

// The layout is that of the same problem with one group: a segment is channels of one offset group.
template <class T>
void depthwise_tile(const ForwardTile& tile) {
  using A = Arithmetic<T>;
  constexpr int N = kLanes<A>;
  const Layout& layout = *tile.layout;
  const Problem& p = layout.problem;
  auto* scratch = static_cast<ForwardScratch<A>*>(tile.scratch);
  fill_positions(p, tile.first_pixel, tile.pixels, &scratch->positions);
  Plans<A> plans(tile, scratch);
  for (int64_t b = 0; b < tile.block_count; ++b) {
    const OutputBlock& block = tile.blocks[b];
    const int64_t result_stride = block.count + kSlack;
    for (int64_t s = layout.group_segments[0]; s < layout.group_segments[1]; ++s) {
      const Segment& segment = layout.segments[s];
      const int64_t segment_end = segment.first_channel + segment.channels;
      const int64_t block_end = block.first + block.count;
      const int64_t begin = segment.first_channel > block.first ? segment.first_channel : block.first;
      const int64_t end = segment_end < block_end ? segment_end : block_end;
      for (int64_t tap = 0; begin < end && tap < p.taps(); tap += kPlannedTaps) {
        const PhaseTimer timer(kSample);
        const int64_t taps = p.taps() - tap < kPlannedTaps ? p.taps() - tap : kPlannedTaps;
        const TapPlan<A>* planned = plans.get(segment.offset_group, tap, taps);
        const A* weight = static_cast<const A*>(tile.packed_weight) + tap * p.in_channels;
        StagedImage<A> image = segment_image<A>(layout, tile.source.staged, segment);
        for (int64_t c = begin; c < end;) {
          const int64_t left = end - c;
          const int64_t step = left <= 4 ? 4 : left <= N ? N : left <= 2 * N ? 2 * N : 4 * N;
          const auto add = left <= 4       ? add_taps<A, 4, 1>
                           : left <= N     ? add_taps<A, N, 1>
                           : left <= 2 * N ? add_taps<A, N, 2>
                                           : add_taps<A, N, 4>;
          add({image.first + c - segment.first_channel, image.pixel_stride, image.row_stride}, planned,
              taps, weight + c, p.in_channels, tile.pixels, tap > 0, scratch->results + c - block.first,
              result_stride);
          c += step;
        }
      }
    }
    write_block<T>(tile, block, {scratch->results, result_stride, kPanelWidth<A>});
  }
}

// Columns that are never stored: their gradient is grad_output times weight, and what the samples are
// for is the weight's gradient. Vectors overrun a tap's channels as they do a staged pixel's; there is
// as much room.
template <class A>
struct DepthwiseColumns {
  const A* grad_output;  // [pixel][pixel_stride]
  int64_t pixel_stride;  // of the staged image, too
  const A* weight;       // [tap][weight_stride]
  int64_t weight_stride;
  A* grad_weight;  // [tap][pixel_stride], added to; null: not wanted

  // The staged grad_output has the image's segments, so that a slice finds its channels side by side.
  DCN_INLINE DepthwiseColumns(const BackwardTile& tile, A* grad_weight)
      : weight_stride(tile.layout->problem.in_channels), grad_weight(grad_weight) {
    const Layout& layout = *tile.layout;
    const Segment& segment = layout.segments[tile.slice->segment];
    pixel_stride = segment.pixel_stride;
    grad_output = static_cast<const A*>(tile.staged_grad_output) +
                  segment.staged_begin / layout.staged_pixels * layout.problem.out_pixels() +
                  tile.first_pixel * pixel_stride;
    weight = static_cast<const A*>(tile.weight) + tile.slice->first_tap * weight_stride +
             segment.first_channel;
  }

  struct At {
    const A* grad_output;
    const A* weight;
    A* grad_weight;

    template <int N>
    DCN_INLINE Vec<A, N> gradient(int64_t c) const {
      return load_vec<Vec<A, N>>(grad_output + c) * load_vec<Vec<A, N>>(weight + c);
    }
    template <int N>
    DCN_INLINE void take(int64_t c, Vec<A, N> sampled) const {
      using V = Vec<A, N>;
      store_vec(grad_weight + c, load_vec<V>(grad_weight + c) + sampled * load_vec<V>(grad_output + c));
    }
  };
  DCN_INLINE bool wanted() const { return grad_weight != nullptr; }
  DCN_INLINE At at(int64_t pixel, int64_t tap) const {
    return {grad_output + pixel * pixel_stride, weight + tap * weight_stride,
            grad_weight ? grad_weight + tap * pixel_stride : nullptr};
  }
};

template <class T>
void backward_depthwise_tile(const BackwardTile& tile) {
  using A = Arithmetic<T>;
  auto* scratch = static_cast<BackwardScratch<A>*>(tile.scratch);
  const Slice& slice = *tile.slice;
  // Added up for the tile first: with many pixels, small numbers would be lost beside a large sum.
  A* const grad_weight = tile.grad_columns ? scratch->grad_columns : nullptr;
  const DepthwiseColumns<A> columns(tile, grad_weight);
  if (grad_weight)
    for (int64_t i = 0; i < slice.taps * columns.pixel_stride; ++i) grad_weight[i] = 0;
  differentiate_samples(tile, columns, scratch);
  if (!grad_weight) return;
  for (int64_t tap = 0; tap < slice.taps; ++tap)
    for (int64_t c = 0; c < slice.channels; ++c)
      static_cast<A*>(tile.grad_columns)[tap * slice.tap_room + c] +=
          grad_weight[tap * columns.pixel_stride + c];
}

// [C, 1, kH, kW] -> [tap][C]
template <class T>
void pack_depthwise(const Problem& p, const void* weight, void* packed) {
  using A = Arithmetic<T>;
  for (int64_t channel = 0; channel < p.in_channels; ++channel)
    for (int64_t tap = 0; tap < p.taps(); ++tap)
      static_cast<A*>(packed)[tap * p.in_channels + channel] =
          load(static_cast<const T*>(weight)[channel * p.taps() + tap]);
}

// And back, for the taps and channels of a slice.
template <class T>
void unpack_depthwise_gradient(const Layout& layout, const Slice& slice, const void* grad_columns,
                               void* grad_weight) {
  using A = Arithmetic<T>;
  const int64_t first = layout.segments[slice.segment].first_channel;
  for (int64_t c = 0; c < slice.channels; ++c)
    for (int64_t tap = 0; tap < slice.taps; ++tap)
      static_cast<T*>(grad_weight)[(first + c) * layout.problem.taps() + slice.first_tap + tap] =
          Store<T>::from(static_cast<const A*>(grad_columns)[tap * slice.tap_room + c]);
}

}  // namespace dcn::cpu::DCN_ISA
