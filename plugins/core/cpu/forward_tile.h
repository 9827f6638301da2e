// The forward pass of one tile of output pixels: sample a chunk of K, multiply, repeat; then add the
// bias and write the result channel by channel. No more of the column matrix than one chunk exists.
#pragma once

#include "convert.h"
#include "gemm.h"
#include "sample.h"

namespace dcn::cpu::DCN_ISA {

template <class A>
struct ForwardScratch {
  TilePositions positions;
  TapPlan<A> plans[kPlannedTaps];
  A columns[kTilePixels * kLeftStride];
  A results[kTilePixels * kOutputBlock + kSlack];  // [pixel][output channel of the block]
};

// Plans of one offset group, made when first asked for.
template <class A>
class Plans {
 public:
  Plans(const ForwardTile& tile, ForwardScratch<A>* scratch) : tile_(tile), scratch_(scratch) {}

  const TapPlan<A>& get(int64_t offset_group, int64_t tap) {
    if (offset_group != offset_group_) {
      offset_group_ = offset_group;
      for (int64_t& planned : planned_) planned = -1;
    }
    const int64_t slot = tap % kPlannedTaps;
    TapPlan<A>* plan = &scratch_->plans[slot];
    if (planned_[slot] != tap) {
      planned_[slot] = tap;
      fill_plan<A>(*tile_.layout, tile_.source, scratch_->positions, offset_group, tap,
                   tile_.first_pixel, tile_.pixels, plan);
    }
    return *plan;
  }

 private:
  const ForwardTile& tile_;
  ForwardScratch<A>* scratch_;
  int64_t offset_group_ = -1;
  int64_t planned_[kPlannedTaps];  // the tap that each slot holds
};

// Walks through the K of a group: (segment, tap, channel).
template <class A>
class ColumnCursor {
 public:
  ColumnCursor(const ForwardTile& tile, int64_t group, Plans<A>* plans)
      : tile_(tile), plans_(plans), segment_(tile.layout->group_segments[group]) {}

  // Samples the next `depth` values of K into `columns`.
  void sample(int64_t depth, A* columns) {
    for (int64_t k = 0; k < depth;) {
      const Segment& segment = tile_.layout->segments[segment_];
      const int64_t left = segment.channels - channel_;
      const int64_t count = left < depth - k ? left : depth - k;
      sample_channels(*tile_.layout, tile_.source, segment, plans_->get(segment.offset_group, tap_),
                      channel_, count, tile_.pixels, columns + k);
      k += count;
      channel_ += count;
      if (channel_ < segment.channels) continue;
      channel_ = 0;
      if (++tap_ < tile_.layout->problem.taps()) continue;
      tap_ = 0;
      ++segment_;
    }
  }

 private:
  const ForwardTile& tile_;
  Plans<A>* plans_;
  int64_t segment_;
  int64_t tap_ = 0, channel_ = 0;
};

template <class T>
void write_block(const ForwardTile& tile, const OutputBlock& block, const Arithmetic<T>* results,
                 int64_t result_stride) {
  using A = Arithmetic<T>;
  constexpr int N = 8;
  static_assert(kTilePixels % N == 0, "rows are read in whole blocks");
  const Problem& p = tile.layout->problem;
  const int64_t first_out = block.group * p.group_out_channels() + block.first;
  const T* bias = static_cast<const T*>(tile.bias);
  T* output = static_cast<T*>(tile.output) + first_out * p.out_pixels() + tile.first_pixel;
  for (int64_t o = 0; o < block.count; o += N) {
    A bias_lanes[N] = {};
    for (int i = 0; i < N && bias && o + i < block.count; ++i)
      bias_lanes[i] = load(bias[first_out + o + i]);
    for (int64_t m = 0; m < tile.pixels; m += N) {
      Vec<A, N> rows[N];
      for (int i = 0; i < N; ++i) rows[i] = load_vec<Vec<A, N>>(results + (m + i) * result_stride + o);
      transpose<A, N>(rows);
      for (int i = 0; i < N; ++i)
        if (o + i < block.count)
          store_lanes<T, N>(output + (o + i) * p.out_pixels() + m, rows[i] + bias_lanes[i],
                            tile.pixels - m);
    }
  }
}

template <class T>
void forward_tile(const ForwardTile& tile) {
  using A = Arithmetic<T>;
  const Layout& layout = *tile.layout;
  auto* scratch = static_cast<ForwardScratch<A>*>(tile.scratch);
  fill_positions(layout.problem, tile.first_pixel, tile.pixels, &scratch->positions);
  Plans<A> plans(tile, scratch);
  for (int64_t b = 0; b < tile.block_count; ++b) {
    const OutputBlock& block = tile.blocks[b];
    const A* packed =
        static_cast<const A*>(tile.packed_weight) + block.group * layout.group_k * layout.padded_out;
    const int64_t padded = (block.count + kLanes<A> - 1) / kLanes<A> * kLanes<A>;
    ColumnCursor<A> cursor(tile, block.group, &plans);
    for (int64_t k = 0; k < layout.group_k; k += kColumnChunk) {
      const int64_t depth = layout.group_k - k < kColumnChunk ? layout.group_k - k : kColumnChunk;
      cursor.sample(depth, scratch->columns);
      for (int64_t o = 0; o < padded; o += kPanelWidth<A>) {
        const int64_t width = padded - o < kPanelWidth<A> ? padded - o : kPanelWidth<A>;
        const A* panel = packed + (block.first + o) * layout.group_k + k * width;
        multiply_panel<A, Left::kRows>(
            {depth, scratch->columns, panel, width, scratch->results + o, padded, k > 0}, tile.pixels,
            width / kLanes<A>);
      }
    }
    write_block<T>(tile, block, scratch->results, padded);
  }
}

}  // namespace dcn::cpu::DCN_ISA
