// How the fused backward kernels see channels: in bundles of up to eight vectors (segments.h), which a
// block works on together. A bundle is several whole segments of one group, each with samples of its
// own, or a part of one segment. All segments must be of one size.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../channels_last.h"
#include "../segments.h"
#include "deform_conv.h"

namespace dcn::cuda {

inline constexpr int kBundleVectors = 8;

// Where every segment is as large as every other.
inline bool segments_are_alike(const Segments& s) {
  return s.period == s.smaller(s.group_channels, s.offset_group_channels);
}

struct Bundles {
  Segments segments;
  int32_t segment_vectors, group_vectors, offset_group_vectors;
  int32_t run, pieces;  // vectors that are cut into bundles by themselves, and into how many
  int32_t per_group, count;

  Bundles() = default;
  explicit Bundles(const Problem& p)
      : segments(p),
        segment_vectors(segments.period_vectors),
        group_vectors(segments.vectors / static_cast<int32_t>(p.group)),
        offset_group_vectors(segments.vectors / static_cast<int32_t>(p.offset_group)),
        run(segment_vectors < kBundleVectors ? kBundleVectors / segment_vectors * segment_vectors
                                             : segment_vectors),
        pieces((run + kBundleVectors - 1) / kBundleVectors),
        per_group((group_vectors + run - 1) / run * pieces),
        count(per_group * static_cast<int32_t>(p.group)) {}

  DCN_INLINE int32_t group(int32_t bundle) const { return bundle / per_group; }
  // Of a bundle, counted through its group.
  DCN_INLINE int32_t vector_in_group(int32_t bundle) const {
    const int32_t in_group = bundle % per_group;
    return in_group / pieces * run + in_group % pieces * kBundleVectors;
  }
  DCN_INLINE int32_t first_vector(int32_t bundle) const {
    return group(bundle) * group_vectors + vector_in_group(bundle);
  }
  DCN_INLINE int32_t vectors(int32_t bundle) const {
    const int32_t of_run = run - bundle % per_group % pieces * kBundleVectors;
    const int32_t of_group = group_vectors - vector_in_group(bundle);
    return segments.smaller(segments.smaller(of_run, of_group), kBundleVectors);
  }
  // The bundle that holds vector `vector`, counted through all segments.
  DCN_INLINE int32_t at_vector(int32_t vector) const {
    const int32_t in_group = vector % group_vectors;
    return vector / group_vectors * per_group + in_group / run * pieces +
           in_group % run / kBundleVectors;
  }
  // The first bundle that has channels of an offset group, and the last.
  DCN_INLINE int32_t first_of(int32_t offset_group) const {
    return at_vector(offset_group * offset_group_vectors);
  }
  DCN_INLINE int32_t last_of(int32_t offset_group) const {
    return at_vector((offset_group + 1) * offset_group_vectors - 1);
  }
  // Of an offset group.
  DCN_INLINE int32_t parts() const { return last_of(0) - first_of(0) + 1; }
};

// One bundle, in shared memory. Slots are its segments, in order.
struct BundleMap {
  int64_t start[kBundleVectors];         // of each vector: its first element in the staged image
  int32_t slot[kBundleVectors];          // of each vector
  int32_t begin[kBundleVectors + 1];     // of each slot: its first vector; of the last: the end
  int32_t offset_group[kBundleVectors];  // of each slot
  int32_t part[kBundleVectors];          // of each slot: which of its offset group's bundles this is
  int32_t slots, vectors;

  // By the first threads of a block; the others wait at the barrier that must follow.
  __device__ __forceinline__ void fill(const Bundles& bundles, const ImageLayout& layout,
                                       int32_t bundle) {
    const int32_t v = static_cast<int32_t>(threadIdx.x), count = bundles.vectors(bundle);
    if (v >= count) return;
    const int32_t first = bundles.first_vector(bundle);
    const Segment s = bundles.segments.at_vector(first + v);
    const int32_t own = (first + v) / bundles.segment_vectors - first / bundles.segment_vectors;
    start[v] = layout.start(s) + int64_t{first + v - s.first_vector} * layout.vector;
    slot[v] = own;
    if (v == 0 || first + v == s.first_vector) {
      begin[own] = v;
      offset_group[own] = s.offset_group;
      part[own] = bundle - bundles.first_of(s.offset_group);
    }
    if (v == count - 1) {
      begin[own + 1] = count;
      slots = own + 1;
      vectors = count;
    }
  }
};

}  // namespace dcn::cuda
