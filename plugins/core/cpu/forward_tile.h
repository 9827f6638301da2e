// The forward pass of one tile of output pixels: sample a chunk of K, multiply, repeat; then add the
// bias and write the result channel by channel. No more of the column matrix than one chunk exists.
#pragma once

#include "convert.h"
#include "gemm.h"
#include "phases.h"
#include "sample.h"
#include "shuffle.h"

namespace dcn::cpu::DCN_ISA {

// E: what the products multiply (gemm.h).
template <class E>
struct ForwardScratch {
  TilePositions positions;
  TapPlan<Sum<E>> plans[kPlannedTaps];
  E columns[kTilePixels * kLeftStride];
  Sum<E> results[kTilePixels * kOutputBlock + kSlack];  // as Results says
};

// Plans of one offset group, made when first asked for.
template <class E>
class Plans {
 public:
  using A = Sum<E>;
  Plans(const ForwardTile& tile, ForwardScratch<E>* scratch) : tile_(tile), scratch_(scratch) {}

  // At most how many taps from `tap` on lie side by side.
  static int64_t run(int64_t tap) { return kPlannedTaps - tap % kPlannedTaps; }

  // The plans of `taps` taps, side by side.
  const TapPlan<A>* get(int64_t offset_group, int64_t tap, int64_t taps) {
    if (offset_group != offset_group_) {
      offset_group_ = offset_group;
      for (int64_t& planned : planned_) planned = -1;
    }
    TapPlan<A>* plans = &scratch_->plans[tap % kPlannedTaps];
    for (int64_t t = 0; t < taps; ++t) {
      int64_t& planned = planned_[(tap + t) % kPlannedTaps];
      if (planned == tap + t) continue;
      planned = tap + t;
      fill_plan<A>(*tile_.layout, tile_.source, scratch_->positions, offset_group, tap + t,
                   tile_.first_pixel, tile_.pixels,
                   NextTap(tile_.layout->problem, offset_group, tap + t), plans + t);
    }
    return plans;
  }

 private:
  const ForwardTile& tile_;
  ForwardScratch<E>* scratch_;
  int64_t offset_group_ = -1;
  int64_t planned_[kPlannedTaps];  // the tap that each place holds
};

// Walks through the K of a group: (segment, tap, channel).
template <class E>
class ColumnCursor {
 public:
  ColumnCursor(const ForwardTile& tile, int64_t group, Plans<E>* plans)
      : tile_(tile),
        plans_(plans),
        segment_(tile.layout->group_segments[group]),
        end_(tile.layout->group_segments[group + 1]) {}

  bool done() const { return segment_ == end_; }

  // Samples the next values of K into `columns`, as many whole taps as fit, and returns how many
  // elements these are.
  int64_t sample(E* columns) {
    const PhaseTimer timer(kSample);
    const int64_t all_taps = tile_.layout->problem.taps();
    int64_t depth = 0;
    while (segment_ < end_) {
      const Segment& segment = tile_.layout->segments[segment_];
      const int64_t elements = segment.columns / kValues<E>;
      const int64_t fitting = (kColumnChunk - depth) / elements;
      if (fitting == 0) break;
      int64_t taps = all_taps - tap_ < fitting ? all_taps - tap_ : fitting;
      if (taps > Plans<E>::run(tap_)) taps = Plans<E>::run(tap_);
      sample_taps(segment_image<Sum<E>>(*tile_.layout, tile_.source.staged, segment,
                                        tile_.layout->rows_are_far),
                  plans_->get(segment.offset_group, tap_, taps), taps, segment.channels, tile_.pixels,
                  columns + depth);
      depth += taps * elements;
      tap_ += taps;
      if (tap_ < all_taps) continue;
      tap_ = 0;
      ++segment_;
    }
    return depth;
  }

 private:
  const ForwardTile& tile_;
  Plans<E>* plans_;
  int64_t segment_, end_;
  int64_t tap_ = 0;
};

// Sums of one tile for the output channels of a block. Panel after panel, so that those which are
// summed up together lie together: rows of all channels would often share cache sets. Of a depthwise
// layer the panels lie side by side, in rows of all channels.
template <class A>
struct Results {
  const A* first;
  int64_t pixel_stride;
  int64_t panel_stride;

  const A* at(int64_t channel) const {
    return first + channel / kPanelWidth<A> * panel_stride + channel % kPanelWidth<A>;
  }
};

// Results and bias of N output channels to the user's order.
template <class T, int N>
void write_channels(const ForwardTile& tile, const Arithmetic<T>* results, int64_t result_stride,
                    Vec<Arithmetic<T>, N> bias, int64_t channels, T* output) {
  using A = Arithmetic<T>;
  const ImageStrides& strides = tile.output_strides;
  for_vectors<N>(tile.pixels, [&](int64_t m, int64_t pixels) {
    // A store that waits for its line holds up those behind it: the channels that come next are asked
    // for ahead.
    if (strides.channel != 1 && m % kLine<T> == 0)
      for (int i = 0; i < N && i + N < channels; ++i)
        prefetch_near(output + (i + N) * strides.channel + m);
    Vec<A, N> rows[N];
    for (int i = 0; i < N; ++i) rows[i] = load_vec<Vec<A, N>>(results + (m + i) * result_stride) + bias;
    if (strides.channel == 1) {
      for (int i = 0; i < N; ++i)
        if (i < pixels) store_lanes<T, N>(output + (m + i) * strides.pixel, rows[i], channels);
      return;
    }
    transpose<A, N>(rows);
    for (int i = 0; i < N; ++i)
      if (i < channels) store_lanes<T, N>(output + i * strides.channel + m, rows[i], pixels);
  });
}

// N channels at a time.
template <class T, int N>
void write_block_by(const ForwardTile& tile, const OutputBlock& block,
                    const Results<Arithmetic<T>>& results) {
  using A = Arithmetic<T>;
  static_assert(kTilePixels >= N, "rows are read in whole blocks");
  const int64_t first_out = block.group * tile.layout->problem.group_out_channels() + block.first;
  T* output = static_cast<T*>(tile.output) + tile.first_pixel * tile.output_strides.pixel;
  for (int64_t o = 0; o < block.count; o += N) {
    const int64_t channels = block.count - o;
    Vec<A, N> bias{};
    if (tile.bias) bias = load_lanes<T, N>(static_cast<const T*>(tile.bias) + first_out + o, channels);
    write_channels<T, N>(tile, results.at(o), results.pixel_stride, bias, channels,
                         output + (first_out + o) * tile.output_strides.channel);
  }
}

template <class T>
void write_block(const ForwardTile& tile, const OutputBlock& block,
                 const Results<Arithmetic<T>>& results) {
  const PhaseTimer timer(kStore);
  using A = Arithmetic<T>;
  // Channels that lie whole pages apart share a set of the first-level cache, which has no room for
  // the lines of that many and of those that are asked for ahead.
  constexpr int64_t kPage = 4096 / sizeof(T);
  if (tile.output_strides.channel % kPage == 0)
    write_block_by<T, kTransposed<A>>(tile, block, results);
  else
    write_block_by<T, kLanes<A>>(tile, block, results);
}

template <class T, class E>
void forward_tile(const ForwardTile& tile) {
  constexpr int64_t kVector = kLanes<E>, kPanel = kPanelWidth<E>;
  const Layout& layout = *tile.layout;
  const int64_t group_k = layout.group_k / kValues<E>;
  auto* scratch = static_cast<ForwardScratch<E>*>(tile.scratch);
  fill_positions(layout.problem, tile.first_pixel, tile.pixels, &scratch->positions);
  Plans<E> plans(tile, scratch);
  for (int64_t b = 0; b < tile.block_count; ++b) {
    const OutputBlock& block = tile.blocks[b];
    const E* packed =
        static_cast<const E*>(tile.packed_weight) + block.group * group_k * layout.padded_out;
    const int64_t padded = (block.count + kVector - 1) / kVector * kVector;
    ColumnCursor<E> cursor(tile, block.group, &plans);
    for (int64_t k = 0, depth; !cursor.done(); k += depth) {
      depth = cursor.sample(scratch->columns);
      const PhaseTimer timer(kMultiply);
      for (int64_t o = 0; o < padded; o += kPanel) {
        const int64_t width = panel_width<E>(padded, o);
        const E* panel = packed + (block.first + o) * group_k + k * width;
        const bool ask_ahead = layout.weight_is_far && o + 2 * kPanel <= padded;
        multiply_panel<E, Left::kRows>(
            {depth, scratch->columns, panel, width, scratch->results + o * kTilePixels, kPanel, k > 0},
            tile.pixels, width / kVector,
            ask_ahead ? Coming<E>{panel + group_k * kPanel, depth * kPanel} : Coming<E>{});
      }
    }
    write_block<T>(tile, block, {scratch->results, kPanel, kPanel * kTilePixels});
  }
}

}  // namespace dcn::cpu::DCN_ISA
