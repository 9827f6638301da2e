// The forward pass of bfloat16 where an instruction adds the products of two pairs to a float: twice as
// many products as in float32. Samples are still interpolated in float32, and then rounded, once.
//
// Only what differs is here; everything else of the instruction set is another's (dispatch.cpp). The
// build compiles this file for every set that has the instruction.
#include <cstring>

#include "forward_tile.h"

namespace dcn::cpu::DCN_ISA {
namespace {

// [O, C/group, kH, kW] -> one panel, [K of the group / 2][panel width][2], zeros beyond the last
// channel on either side. A segment's share of it stays in the first-level cache while it is written.
void pack_pair_panel(const Layout& layout, const void* weight, int64_t group, int64_t panel,
                     void* packed) {
  const PhaseTimer timer(kPack);
  const Problem& p = layout.problem;
  const int64_t taps = p.taps(), outs = p.group_out_channels(), per_group = p.group_in_channels();
  const int64_t first_out = panel * kPanelWidth<Pair>;
  const int64_t width = panel_width<Pair>(layout.padded_out, first_out);
  const int64_t written = outs - first_out < width ? outs - first_out : width;
  BFloat16* to_panel =
      static_cast<BFloat16*>(packed) + (group * layout.padded_out + first_out) * layout.group_k;
  for (int64_t s = layout.group_segments[group]; s < layout.group_segments[group + 1]; ++s) {
    const Segment& segment = layout.segments[s];
    BFloat16* to_segment = to_panel + segment.k_begin * width;
    std::memset(to_segment, 0, segment.columns * taps * width * sizeof(BFloat16));
    for (int64_t o = 0; o < written; ++o) {
      const BFloat16* from =
          static_cast<const BFloat16*>(weight) +
          ((group * outs + first_out + o) * per_group + segment.first_channel - group * per_group) *
              taps;
      for (int64_t channel = 0; channel < segment.channels; ++channel)
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int64_t k = tap * segment.columns + channel;
          to_segment[(k / 2 * width + o) * 2 + k % 2] = *from++;
        }
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
