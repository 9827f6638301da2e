// The columns of the weight's gradient, seen as a matrix [O/group, taps * channels of a group]: in
// which order they lie, and which of them a block computes.
//
// What one column needs of a pixel is a sample of one channel at one tap; columns come in vectors
// (segments.h). Their order within a group: segment, then chunk of up to eight vectors of the segment,
// then tap, then vector of the chunk. So neighbours share samples' positions, and what a block reads of
// the image lies together, however many channels there are. All segments must be of one size
// (bundles.h).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../channels_last.h"
#include "../segments.h"
#include "deform_conv.h"

namespace dcn::cuda {

// Of a block's tile.
inline constexpr int kTileVectors = 16;

struct WeightColumns {
  Segments segments;
  int32_t taps, segment_vectors, group_vectors;

  static constexpr int32_t kChunk = 8;

  // A vector of columns: a vector of the group's channels, at a tap. `place` counts the different
  // positions of samples, in order.
  struct Column {
    int32_t vector, tap, place;
  };

  WeightColumns() = default;
  explicit WeightColumns(const Problem& p)
      : segments(p),
        taps(static_cast<int32_t>(p.taps())),
        segment_vectors(segments.period_vectors),
        group_vectors(segments.vectors / static_cast<int32_t>(p.group)) {}

  // Of a group, in vectors and in tiles.
  DCN_INLINE int32_t count() const { return group_vectors * taps; }
  DCN_INLINE int32_t tiles() const { return (count() + kTileVectors - 1) / kTileVectors; }

  // Vectors of the chunk that begins at vector `first` of a segment.
  DCN_INLINE int32_t width(int32_t first) const {
    return segments.smaller(segment_vectors - first, kChunk);
  }

  DCN_INLINE Column at(int32_t index) const {
    const int32_t segment = index / (segment_vectors * taps);
    const int32_t in_segment = index - segment * segment_vectors * taps;
    const int32_t chunk = in_segment / (kChunk * taps), first = chunk * kChunk;
    const int32_t in_chunk = in_segment - first * taps, tap = in_chunk / width(first);
    const int32_t chunks = (segment_vectors + kChunk - 1) / kChunk;
    return {segment * segment_vectors + first + in_chunk - tap * width(first), tap,
            (segment * chunks + chunk) * taps + tap};
  }

  // The other way round; `of_segment`: the vector, counted through segment `segment` of the group.
  DCN_INLINE int32_t index(int32_t segment, int32_t of_segment, int32_t tap) const {
    const int32_t first = of_segment / kChunk * kChunk;
    return (segment * segment_vectors + first) * taps + tap * width(first) + of_segment - first;
  }
};

// The vectors of a tile, in shared memory. Slots are the different positions of its samples, in order.
struct TileColumns {
  int64_t start[kTileVectors];  // of each vector: its first element in the staged image
  int32_t slot[kTileVectors];   // of each vector
  int32_t tap[kTileVectors], offset_group[kTileVectors];  // of each slot
  int32_t vectors, slots;

  // By the first threads of a block; the others wait at the barrier that must follow.
  __device__ __forceinline__ void fill(const WeightColumns& columns, const ImageLayout& layout,
                                       int32_t group, int32_t tile) {
    const auto v = static_cast<int32_t>(threadIdx.x), first = tile * kTileVectors;
    const int32_t count = columns.segments.smaller(columns.count() - first, kTileVectors);
    if (v >= count) return;
    const WeightColumns::Column own = columns.at(first + v);
    const int32_t vector = group * columns.group_vectors + own.vector;
    const Segment s = columns.segments.at_vector(vector);
    start[v] = layout.start(s) + int64_t{vector - s.first_vector} * layout.vector;
    slot[v] = own.place - columns.at(first).place;
    tap[slot[v]] = own.tap;
    offset_group[slot[v]] = s.offset_group;
    if (v == count - 1) vectors = count, slots = slot[v] + 1;
  }
};

}  // namespace dcn::cuda
