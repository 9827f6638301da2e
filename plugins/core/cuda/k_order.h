// The order in which the fused forward adds up products, and with it the order of the packed weight.
//
// The K dimension of the matrix product runs over segments, within one over chunks of up to four
// vectors, within one over the taps, and innermost over the vectors of the chunk: the taps of a chunk
// follow each other because the pixels that they touch are largely the same. Segments that are a single
// narrow vector are taken two by two, as if they were the vectors of one, wherever a group has an even
// number of them. K is cut into slots of 16 bytes (a vector, or two narrow ones) and steps of four
// slots. Where all threads of a block share a table of one segment's samples, each segment begins a new
// step.
#pragma once

#include <cstdint>

#include "deform_conv.h"
#include "segments.h"

namespace dcn::cuda {

inline constexpr int kSlotBytes = 16;
inline constexpr int kStepSlots = 4;
inline constexpr int kStepBytes = kSlotBytes * kStepSlots;
inline constexpr int kChunkVectors = 4;
inline constexpr int64_t kMaxTaps = 1 << 15;

struct KOrder {
  Segments segments;
  int32_t taps;
  Divider by_taps;
  int32_t steps;         // of a group; the last ones of a group may be empty
  int32_t slot_vectors;  // 2 where vectors are narrow
  bool single_vectors;   // each segment is a single vector
  bool paired;           // and is narrow, and taken together with its neighbour
  bool tabulated;        // segments begin at a step, and their samples are tabulated

  KOrder() = default;
  explicit KOrder(const Problem& p);
};

// A vector of K.
struct KPlace {
  Segment segment;
  int32_t in_segment, tap;

  DCN_INLINE int32_t vector() const { return in_segment; }
};

// A place in the K dimension of one group, in vectors. kSingle: each segment is known to be a single
// vector, which leaves less to remember.
template <bool kSingle = false>
struct KCursor {
  int32_t group_end;     // the channel at which the group ends
  Segment segment;       // or the first of a pair
  int32_t chunk, width;  // first vector of the chunk in the segment, and how many it has
  int32_t position;      // in the chunk's taps times vectors

  DCN_INLINE KCursor(const KOrder& order, int32_t group)
      : group_end((group + 1) * order.segments.group_channels), position(0) {
    enter(order, order.segments.at_channel(group * order.segments.group_channels), 0);
  }

  DCN_INLINE bool at_end() const { return segment.first >= group_end; }

  // Whether there is something to sample here: not in the padding behind a segment or a group.
  DCN_INLINE bool valid(const KOrder& order) const { return !at_end() && tap() < order.taps; }

  // position / width, which is slow for the GPU to divide by.
  DCN_INLINE int32_t tap() const {
    const uint32_t multiplier = width == 4   ? 0x20000000u
                                : width == 3 ? 0x2aaaaaabu
                                : width == 2 ? 0x40000000u
                                             : 0x80000000u;
    return static_cast<int32_t>(uint64_t{static_cast<uint32_t>(position)} * multiplier >> 31);
  }
  DCN_INLINE int32_t vector() const { return chunk + position - tap() * width; }

  DCN_INLINE KPlace place(const KOrder& order) const {
    if (!order.paired) return {segment, vector(), tap()};
    return {vector() == 0 ? segment : order.segments.next(segment), 0, tap()};
  }

  DCN_INLINE void advance(const KOrder& order, int32_t vectors) {
    position += vectors;
    while (position >= end(order)) {
      position -= end(order);
      if (chunk + width < segment.vectors) {
        enter(order, segment, chunk + width);
      } else {
        const Segment last = order.paired ? order.segments.next(segment) : segment;
        enter(order, order.segments.next(last), 0);
      }
    }
  }

 private:
  DCN_INLINE void enter(const KOrder& order, const Segment& at, int32_t first) {
    segment = at;
    chunk = first;
    if (kSingle) segment.vectors = 1;
    width = order.paired ? 2 : order.segments.smaller(segment.vectors - first, kChunkVectors);
  }

  // Of the chunk, with the padding behind it.
  DCN_INLINE int32_t end(const KOrder& order) const {
    if (at_end()) return INT32_MAX;
    const int32_t size = width * order.taps;
    return kSingle || !order.tabulated ? size : (size + kStepSlots - 1) / kStepSlots * kStepSlots;
  }
};

}  // namespace dcn::cuda
