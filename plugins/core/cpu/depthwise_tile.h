// The forward pass of one tile where every channel is a group of its own: there is no matrix to
// multiply, so samples are weighted and added as they are taken, vectorised over channels.
#pragma once

#include "forward_tile.h"

namespace dcn::cpu::DCN_ISA {

// results[pixel][c] (+)= weight[c] * sample. Whole vectors are read and written: what the last one
// overruns is overwritten when the next segment's first tap comes, or lies between the rows.
template <class A, int N>
void add_tap(const TapPlan<A>& plan, const A* image, int64_t pixel_stride, int64_t row_stride,
             int64_t channels, int64_t pixels, const A* weight, bool first_tap, A* results,
             int64_t result_stride) {
  using V = Vec<A, N>;
  for (int64_t i = 0; i < pixels; ++i) {
    const Sample<A> sample(plan, i, image, pixel_stride, row_stride);
    A* to = results + i * result_stride;
    for (int64_t c = 0; c < channels; c += N) {
      const V product = load_vec<V>(weight + c) * sample.template values<N>(c);
      store_vec(to + c, first_tap ? product : load_vec<V>(to + c) + product);
    }
  }
}

// The layout is that of the same problem with one group: a segment is a whole offset group.
template <class T>
void depthwise_tile(const ForwardTile& tile) {
  using A = Arithmetic<T>;
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
      if (begin >= end) continue;
      const A* image =
          segment_image<A>(layout, tile.source.staged, segment) + begin - segment.first_channel;
      for (int64_t tap = 0; tap < p.taps(); ++tap) {
        const TapPlan<A>& plan = plans.get(segment.offset_group, tap);
        const A* weight = static_cast<const A*>(tile.packed_weight) + tap * p.in_channels + begin;
        const auto add = end - begin <= 4 ? add_tap<A, 4> : add_tap<A, kLanes<A>>;
        add(plan, image, segment.channels, layout.staged_w * segment.channels, end - begin, tile.pixels,
            weight, tap == 0, scratch->results + begin - block.first, result_stride);
      }
    }
    write_block<T>(tile, block, scratch->results, result_stride);
  }
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

}  // namespace dcn::cpu::DCN_ISA
