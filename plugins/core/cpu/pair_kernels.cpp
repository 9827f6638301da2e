// The forward pass of bfloat16 where an instruction adds the products of two pairs to a float: twice as
// many products as in float32. Samples are still interpolated in float32, and then rounded, once.
//
// Only what differs is here; everything else of the instruction set is another's (dispatch.cpp). The
// build compiles this file for every set that has the instruction.
#include <cstring>

#include "forward_tile.h"

namespace dcn::cpu::DCN_ISA {
namespace {

// The weights of a pair of channels. The taps of an output follow each other, in both.
struct ChannelPair {
  const BFloat16* first;
  const BFloat16* second;  // null: there is none, and its half of the pairs is zero
  int64_t out_stride;      // elements of the user's weight from one output to the next
  Pair* to;                // its first tap's
  int64_t tap_stride;      // pairs
};

Pair pair_of(const ChannelPair& from, int64_t index) {
  return from.first[index].bits | (from.second ? uint32_t{from.second[index].bits} << 16 : 0);
}

// N taps from `tap` on by N outputs: pairs are put together in the user's order, and then transposed as
// the floats that have their bits.
template <int N>
void pack_pair_block(const ChannelPair& from, int64_t out, int64_t tap) {
  using Bits = Vec<uint32_t, N>;
  Vec<float, N> block[N];
  for (int i = 0; i < N; ++i) {
    const int64_t at = (out + i) * from.out_stride + tap;
    Bits pairs = (Bits)load_whole<BFloat16, N>(from.first + at) >> 16;
    if (from.second) pairs |= (Bits)load_whole<BFloat16, N>(from.second + at);
    block[i] = (Vec<float, N>)pairs;
  }
  transpose<float, N>(block);
  for (int i = 0; i < N; ++i) store_vec(from.to + (tap + i) * from.tap_stride + out, block[i]);
}

// [O, C/group, kH, kW] -> one panel, [K of the group / 2][panel width][2], zeros beyond the last
// channel on either side. A segment's share of it stays in the first-level cache while it is written.
void pack_pair_panel(const Layout& layout, const void* weight, int64_t group, int64_t panel,
                     void* packed) {
  const PhaseTimer timer(kPack);
  constexpr int N = kTransposed<float>;
  const Problem& p = layout.problem;
  const int64_t taps = p.taps(), outs = p.group_out_channels(), per_group = p.group_in_channels();
  const int64_t first_out = panel * kPanelWidth<Pair>;
  const int64_t width = panel_width<Pair>(layout.padded_out, first_out);
  const int64_t written = outs - first_out < width ? outs - first_out : width;
  const auto* user =
      static_cast<const BFloat16*>(weight) + (group * outs + first_out) * per_group * taps;
  Pair* to_panel =
      static_cast<Pair*>(packed) + (group * layout.padded_out + first_out) * layout.group_k / 2;
  for (int64_t s = layout.group_segments[group]; s < layout.group_segments[group + 1]; ++s) {
    const Segment& segment = layout.segments[s];
    Pair* to_segment = to_panel + segment.k_begin / 2 * width;
    if (written < width) std::memset(to_segment, 0, segment.columns * taps * width * sizeof(BFloat16));
    for (int64_t channel = 0; channel < segment.channels; channel += 2) {
      const BFloat16* first = user + (segment.first_channel - group * per_group + channel) * taps;
      const ChannelPair pair{first, channel + 1 < segment.channels ? first + taps : nullptr,
                             per_group * taps, to_segment + channel / 2 * width,
                             segment.columns / 2 * width};
      const int64_t whole = taps >= N ? written / N * N : 0;
      for (int64_t out = 0; out < whole; out += N)
        for_vectors<N>(taps, [&](int64_t tap, int64_t) { pack_pair_block<N>(pair, out, tap); });
      for (int64_t out = whole; out < written; ++out)
        for (int64_t tap = 0; tap < taps; ++tap)
          pair.to[tap * pair.tap_stride + out] = pair_of(pair, out * pair.out_stride + tap);
    }
  }
}

constexpr PairKernels kPairsTable = {pack_pair_panel, forward_tile<BFloat16, Pair>};

static_assert(sizeof(ForwardScratch<Pair>) == sizeof(ForwardScratch<float>),
              "one size serves the depthwise kernel too");

}  // namespace

extern const PairKernels kPairs;
const PairKernels kPairs = kPairsTable;

}  // namespace dcn::cpu::DCN_ISA
