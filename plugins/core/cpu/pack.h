// The weight in the orders that the products read it, and its gradient back in the user's order.
#pragma once

#include "convert.h"
#include "gemm.h"
#include "kernels.h"
#include "phases.h"

namespace dcn::cpu::DCN_ISA {

// [O, C/group, kH, kW] -> one panel, [K of the group][panel width], zeros beyond the last channel.
// Blocks of 8 outputs by 8 consecutive weights are transposed, so that both sides move whole vectors.
template <class T>
void pack_panel(const Layout& layout, const void* weight, int64_t group, int64_t panel, void* packed) {
  const PhaseTimer timer(kPack);
  using A = Arithmetic<T>;
  constexpr int N = 8;
  const Problem& p = layout.problem;
  const int64_t taps = p.taps(), outs = p.group_out_channels();
  const int64_t row = p.group_in_channels() * taps;  // of the user's weight
  const int64_t first_out = panel * kPanelWidth<A>;
  const int64_t left = layout.padded_out - first_out;
  const int64_t width = left < kPanelWidth<A> ? left : kPanelWidth<A>;
  A* to_panel = static_cast<A*>(packed) + (group * layout.padded_out + first_out) * layout.group_k;
  for (int64_t s = layout.group_segments[group]; s < layout.group_segments[group + 1]; ++s) {
    const Segment& segment = layout.segments[s];
    const int64_t channel_in_group = segment.first_channel - group * p.group_in_channels();
    const int64_t values = segment.channels * taps;  // in the user's order: (channel, tap)
    for (int64_t o = 0; o < width; o += N) {
      // The narrowest panel may be less than a block wide.
      const int64_t columns = width - o < N ? width - o : N;
      for (int64_t v = 0; v < values; v += N) {
        Vec<A, N> block[N] = {};
        for (int i = 0; i < N; ++i) {
          const int64_t out = first_out + o + i;
          if (out >= outs) break;
          const T* from =
              static_cast<const T*>(weight) + (group * outs + out) * row + channel_in_group * taps + v;
          block[i] = load_lanes<T, N>(from, values - v);
        }
        transpose<A, N>(block);
        for (int i = 0; i < N && v + i < values; ++i) {
          const int64_t channel = (v + i) / taps, tap = (v + i) % taps;
          A* to = to_panel + (segment.k_begin + tap * segment.channels + channel) * width + o;
          store_lanes<A, N>(to, block[i], columns);
        }
      }
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
  const int64_t columns = slice.taps * slice.channels;
  for (int64_t o = 0; o < outs; ++o) {
    const auto at = [&](int64_t column) {
      const int64_t first = column / kPanelWidth<A> * kPanelWidth<A>;
      const int64_t left = slice.padded_columns - first;
      const int64_t width = left < kPanelWidth<A> ? left : kPanelWidth<A>;
      return static_cast<A*>(packed) + first * outs + o * width + column - first;
    };
    // Read along the user's rows, which are contiguous over (channel, tap).
    const T* from = static_cast<const T*>(weight) + weight_index(layout, slice, o, 0, 0);
    for (int64_t channel = 0; channel < slice.channels; ++channel)
      for (int64_t tap = 0; tap < slice.taps; ++tap)
        *at(tap * slice.channels + channel) = load(from[channel * taps + tap]);
    for (int64_t column = columns; column < slice.padded_columns; ++column) *at(column) = A(0);
  }
}

template <class T>
void unpack_weight_gradient(const Layout& layout, const Slice& slice, const void* grad_columns,
                            void* grad_weight) {
  using A = Arithmetic<T>;
  const int64_t outs = layout.problem.group_out_channels();
  for (int64_t o = 0; o < outs; ++o)
    for (int64_t channel = 0; channel < slice.channels; ++channel)
      for (int64_t tap = 0; tap < slice.taps; ++tap) {
        const int64_t column = tap * slice.channels + channel;
        static_cast<T*>(grad_weight)[weight_index(layout, slice, o, tap, channel)] =
            Store<T>::from(static_cast<const A*>(grad_columns)[column * layout.padded_out + o]);
      }
}

}  // namespace dcn::cpu::DCN_ISA
