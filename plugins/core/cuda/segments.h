// How the fast kernels see channels: in segments, each padded to whole vectors.
//
// A segment is a maximal run of channels that share a group and an offset group, so that one sampling
// position and one row of the weight serve all of it. Groups may straddle offset groups, in either
// direction: the boundaries are those of both. A vector is what one load takes from one pixel: 16
// bytes, or 8 where no segment has more than four halves. The last vector of a segment is filled up
// with zeros, in the image (channels_last.h) as in the weight (pack_weight.h).
#pragma once

#include <cstdint>

#include "deform_conv.h"
#include "divider.h"

namespace dcn::cuda {

struct Segment {
  int32_t first, channels;        // channels of the image
  int32_t first_vector, vectors;  // counted through all segments
  int32_t offset_group;
};

struct Segments {
  int32_t channels, group_channels, offset_group_channels;
  Divider by_group, by_offset_group;  // of the numbers above
  int32_t vector;                     // channels of a vector, 1 << vector_bits
  int32_t vector_bits;
  int32_t period, period_vectors;  // the pattern of segments repeats after so many channels
  int32_t vectors;                 // of all segments

  Segments() = default;
  explicit Segments(const Problem& p)
      : channels(static_cast<int32_t>(p.in_channels)),
        group_channels(static_cast<int32_t>(p.in_channels / p.group)),
        offset_group_channels(static_cast<int32_t>(p.in_channels / p.offset_group)),
        by_group(group_channels),
        by_offset_group(offset_group_channels) {
    const int32_t least = smaller(group_channels, offset_group_channels);
    const int32_t most = group_channels + offset_group_channels - least;
    vector_bits = p.dtype == DType::kFloat32 || least <= 4 ? 2 : 3;
    vector = 1 << vector_bits;
    // Where one divides the other all segments are alike; otherwise both begin anew at their least
    // common multiple.
    int32_t a = most, b = least;
    while (b != 0) {
      const int32_t rest = a % b;
      a = b, b = rest;
    }
    period = a == least ? least : least / a * most;
    period_vectors = 0;
    for (int32_t first = 0; first < period;) {
      const int32_t size = size_at(first);
      period_vectors += vectors_of(size);
      first += size;
    }
    vectors = channels / period * period_vectors;
  }

  DCN_INLINE int32_t smaller(int32_t a, int32_t b) const { return a < b ? a : b; }

  DCN_INLINE int32_t vectors_of(int32_t size) const { return (size + vector - 1) >> vector_bits; }

  // Channels of the segment that begins at channel `first`.
  DCN_INLINE int32_t size_at(int32_t first) const {
    return smaller(
        group_channels - by_group.rest(first, by_group.quotient(first)),
        offset_group_channels - by_offset_group.rest(first, by_offset_group.quotient(first)));
  }

  // The segment that begins at channel `first`, behind `first_vector` vectors.
  DCN_INLINE Segment segment(int32_t first, int32_t first_vector) const {
    const int32_t size = size_at(first);
    return {first, size, first_vector, vectors_of(size), by_offset_group.quotient(first)};
  }

  DCN_INLINE Segment next(const Segment& s) const {
    return segment(s.first + s.channels, s.first_vector + s.vectors);
  }

  // The segment that holds channel `channel`.
  DCN_INLINE Segment at_channel(int32_t channel) const {
    const int32_t whole = channel / period;
    Segment s = segment(whole * period, whole * period_vectors);
    while (s.first + s.channels <= channel) s = next(s);
    return s;
  }

  // The segment that holds vector `vector`, which is below `vectors`.
  DCN_INLINE Segment at_vector(int32_t vector) const {
    const int32_t whole = vector / period_vectors;
    Segment s = segment(whole * period, whole * period_vectors);
    while (s.first_vector + s.vectors <= vector) s = next(s);
    return s;
  }
};

}  // namespace dcn::cuda
