// The weight in the orders that the products read it, and its gradient back in the user's order.
#pragma once

#include "convert.h"
#include "gemm.h"
#include "kernels.h"
#include "phases.h"
#include "shuffle.h"

namespace dcn::cpu::DCN_ISA {

// Where the weights of a segment lie in a panel, in the user's order: (channel, tap).
template <class A>
struct PanelRows {
  A* at;  // the current one's
  const int64_t taps, next_tap, next_channel;
  int64_t tap = 0;

  // `first`: the segment's; `width`: of the panel.
  DCN_INLINE PanelRows(A* first, const Segment& segment, int64_t taps, int64_t width)
      : at(first),
        taps(taps),
        next_tap(segment.channels * width),
        next_channel(width - (taps - 1) * next_tap) {}
  DCN_INLINE void advance() {
    const bool last = ++tap == taps;
    at += last ? next_channel : next_tap;
    if (last) tap = 0;
  }
};

// N outputs, of which `outs` exist, by N weights, of which `values` exist: from rows to columns.
// kWhole: all of them do.
template <class T, int N, bool kWhole>
DCN_INLINE void pack_block(const T* from, int64_t row, int64_t outs, int64_t values,
                           PanelRows<Arithmetic<T>>* to) {
  using A = Arithmetic<T>;
  Vec<A, N> block[N] = {};
  for (int i = 0; i < N; ++i)
    if (kWhole || i < outs) block[i] = load_lanes<T, N>(from + i * row, kWhole ? N : values);
  transpose<A, N>(block);
  for (int i = 0; i < N; ++i)
    if (kWhole || i < values) {
      store_vec(to->at, block[i]);
      to->advance();
    }
}

// [O, C/group, kH, kW] -> one panel, [K of the group][panel width], zeros beyond the last channel.
// Blocks of outputs by consecutive weights are transposed, so that both sides move whole vectors.
template <class T>
void pack_panel(const Layout& layout, const void* weight, int64_t group, int64_t panel, void* packed) {
  const PhaseTimer timer(kPack);
  using A = Arithmetic<T>;
  constexpr int N = kLanes<A>;
  const Problem& p = layout.problem;
  const int64_t taps = p.taps(), outs = p.group_out_channels();
  const int64_t row = p.group_in_channels() * taps;  // of the user's weight
  const int64_t first_out = panel * kPanelWidth<A>;
  const int64_t width = panel_width<A>(layout.padded_out, first_out);
  A* to_panel = static_cast<A*>(packed) + (group * layout.padded_out + first_out) * layout.group_k;
  for (int64_t s = layout.group_segments[group]; s < layout.group_segments[group + 1]; ++s) {
    const Segment& segment = layout.segments[s];
    const int64_t values = segment.channels * taps;
    for (int64_t o = 0; o < width; o += N) {
      const T* from = static_cast<const T*>(weight) + (group * outs + first_out + o) * row +
                      (segment.first_channel - group * p.group_in_channels()) * taps;
      PanelRows<A> to(to_panel + segment.k_begin * width + o, segment, taps, width);
      const int64_t own_outs = outs - first_out - o;
      int64_t v = 0;
      if (own_outs >= N)
        for (; v + N <= values; v += N) {
          // Of the next segment, whose weights follow in the same rows.
          if (v % kLine<T> == 0)
            for (int i = 0; i < N; ++i) prefetch_near(from + i * row + values + v);
          pack_block<T, N, true>(from + v, row, N, N, &to);
        }
      for (; v < values; v += N) pack_block<T, N, false>(from + v, row, own_outs, values - v, &to);
    }
  }
}

// Index of the user's weight for one output channel of the slice's group and one slice column.
DCN_INLINE int64_t weight_index(const Layout& layout, const Slice& slice, int64_t out, int64_t tap,
                                int64_t channel) {
  const Problem& p = layout.problem;
  const int64_t in_group =
      layout.segments[slice.segment].first_channel - slice.group * p.group_in_channels() + channel;
  return ((slice.group * p.group_out_channels() + out) * p.group_in_channels() + in_group) * p.taps() +
         slice.first_tap + tap;
}

// A slice's share of the weight -> [panel of slice columns][O/group][panel width].
template <class T>
void pack_transposed(const Layout& layout, const Slice& slice, const void* weight, void* packed) {
  const PhaseTimer timer(kPack);
  using A = Arithmetic<T>;
  const int64_t outs = layout.problem.group_out_channels(), taps = layout.problem.taps();
  // Some outputs at a time: a panel's rows are written in runs.
  constexpr int64_t kOuts = 8;
  A columns[kOuts][kColumnChunk + kLanes<A>] = {};
  for (int64_t o = 0; o < outs; o += kOuts) {
    const int64_t rows = outs - o < kOuts ? outs - o : kOuts;
    for (int64_t row = 0; row < rows; ++row) {
      const T* from = static_cast<const T*>(weight) + weight_index(layout, slice, o + row, 0, 0);
      // The same weights of an output to come: rows are too far apart for the hardware to foresee.
      prefetch_row(from + kOuts * layout.problem.group_in_channels() * taps, slice.channels * taps);
      for (int64_t channel = 0; channel < slice.channels; ++channel)
        for (int64_t tap = 0; tap < slice.taps; ++tap)
          columns[row][tap * slice.channels + channel] = load(from[channel * taps + tap]);
    }
    for (int64_t first = 0; first < slice.padded_columns; first += kPanelWidth<A>) {
      const int64_t width = panel_width<A>(slice.padded_columns, first);
      A* to = static_cast<A*>(packed) + first * outs + o * width;
      for (int64_t row = 0; row < rows; ++row, to += width)
        for (int64_t i = 0; i < width; i += kLanes<A>)
          store_vec(to + i, load_vec<Vec<A>>(columns[row] + first + i));
    }
  }
}

// [panel of O][slice column][panel width] -> the user's order, in transposed blocks as in pack_panel().
// Where the slice has all taps, the weights of all its channels are one run in that order.
template <class T>
void unpack_weight_gradient(const Layout& layout, const Slice& slice, const void* grad_columns,
                            void* grad_weight) {
  using A = Arithmetic<T>;
  constexpr int N = kLanes<A>;
  const int64_t outs = layout.problem.group_out_channels();
  const bool all_taps = slice.taps == layout.problem.taps();
  const int64_t runs = all_taps ? 1 : slice.channels;
  const int64_t values = all_taps ? slice.channels * slice.taps : slice.taps;
  for (int64_t o = 0; o < outs; o += N) {
    const int64_t panel = o / kPanelWidth<A> * kPanelWidth<A>;
    const int64_t width = panel_width<A>(layout.padded_out, panel);
    const A* from = static_cast<const A*>(grad_columns) + panel * slice.padded_columns + (o - panel);
    for (int64_t run = 0; run < runs; ++run) {
      int64_t channel = run, tap = 0;
      for (int64_t v = 0; v < values; v += N) {
        Vec<A, N> block[N] = {};
        for (int i = 0; i < N && v + i < values; ++i) {
          const int64_t column = tap * slice.channels + channel;
          block[i] = load_lanes<A, N>(from + column * width, outs - o);
          if (++tap == slice.taps) {
            tap = 0;
            ++channel;
          }
        }
        transpose<A, N>(block);
        for (int i = 0; i < N && o + i < outs; ++i)
          store_lanes<T, N>(
              static_cast<T*>(grad_weight) + weight_index(layout, slice, o + i, 0, run) + v, block[i],
              values - v);
      }
    }
  }
}

}  // namespace dcn::cpu::DCN_ISA
