// The order in which the fused forward adds up products, and with it the order of the packed weight.
//
// The K dimension of the matrix product runs over segments, within one over chunks of up to four
// vectors, within one over the taps, and innermost over the vectors of the chunk: the taps of a chunk
// follow each other because the pixels that they touch are largely the same. It is cut into slots of 16
// bytes (a vector, or two narrow ones) and steps of four slots. Where all threads of a block share a
// table of one segment's samples, each segment begins a new step.
#pragma once

#include <cstdint>

#include "deform_conv.h"
#include "segments.h"

namespace dcn::cuda {

inline constexpr int kSlotBytes = 16;
inline constexpr int kStepSlots = 4;
inline constexpr int kStepBytes = kSlotBytes * kStepSlots;
inline constexpr int kChunkVectors = 4;

struct KOrder {
  Segments segments;
  int32_t taps;
  int32_t steps;         // of a group; the last ones of a group may be empty
  int32_t slot_vectors;  // 2 where vectors are narrow
  bool single_vectors;   // each segment is a single vector
  bool tabulated;        // segments begin at a step, and their samples are tabulated

  KOrder() = default;
  explicit KOrder(const Problem& p);
};

// A place in the K dimension of one group, in vectors.
struct KCursor {
  int32_t group_end;  // the channel at which the group ends
  Segment segment;
  int32_t chunk, width;    // first vector of the chunk in the segment, and how many it has
  int32_t position, size;  // in the chunk's taps times vectors, and how many there are with padding

  DCN_INLINE KCursor(const KOrder& order, int32_t group)
      : group_end((group + 1) * order.segments.group_channels),
        segment(order.segments.at_channel(group * order.segments.group_channels)),
        position(0) {
    enter(order, 0);
  }

  DCN_INLINE bool at_end() const { return segment.first >= group_end; }

  // Whether there is something to sample here: not in the padding behind a segment or a group.
  DCN_INLINE bool valid(const KOrder& order) const { return !at_end() && tap() < order.taps; }

  // Division by a variable is slow.
  DCN_INLINE int32_t tap() const {
    return width == 4 ? position / 4 : width == 1 ? position : width == 2 ? position / 2 : position / 3;
  }
  DCN_INLINE int32_t vector() const { return chunk + position - tap() * width; }

  DCN_INLINE void advance(const KOrder& order, int32_t vectors) {
    position += vectors;
    while (position >= size) {
      position -= size;
      if (chunk + width < segment.vectors) {
        enter(order, chunk + width);
      } else {
        segment = order.segments.next(segment);
        enter(order, 0);
      }
    }
  }

 private:
  DCN_INLINE void enter(const KOrder& order, int32_t first) {
    chunk = first;
    width = order.segments.smaller(segment.vectors - first, kChunkVectors);
    size = width * order.taps;
    if (order.tabulated) size = (size + kStepSlots - 1) / kStepSlots * kStepSlots;
    if (at_end()) size = INT32_MAX;
  }
};

}  // namespace dcn::cuda
