// The image as the fast kernels read it: the channels of a pixel beside each other, in vectors.
//
// Staged, each segment is a plane of its own, [N, segment, H*W, channels of the segment, padded]: what
// a warp reads of one segment at neighbouring pixels then lies together, however few channels that is.
// A channels-last input whose segments are whole vectors and not too small is read where it is.
#pragma once

#include <cuda_runtime.h>

#include "deform_conv.h"
#include "segments.h"

namespace dcn::cuda {

struct ImageLayout {
  bool staged;
  int32_t channels, vector;
  int64_t pixels, image_size;  // image_size: elements from one image to the next

  ImageLayout() = default;
  ImageLayout(const Problem& p, const Segments& segments, bool staged)
      : staged(staged),
        channels(segments.channels),
        vector(segments.vector),
        pixels(p.in_pixels()),
        image_size(p.in_pixels() *
                   (staged ? int64_t{segments.vectors} * segments.vector : p.in_channels)) {}

  // Element at which a segment of the first image begins, and the elements from pixel to pixel there.
  DCN_INLINE int64_t start(const Segment& s) const {
    return staged ? int64_t{s.first_vector} * vector * pixels : int64_t{s.first};
  }
  DCN_INLINE int32_t pixel_stride(const Segment& s) const {
    return staged ? s.vectors * vector : channels;
  }
};

// Whether a channels-last input is read where it is.
bool reads_in_place(const Problem& problem, const Segments& segments);

size_t staged_image_bytes(const Problem& problem, const Segments& segments);

// Writes the staged image, from [N, C, H, W] or [N, H, W, C].
cudaError_t stage_image(const Problem& problem, const Segments& segments, const void* input,
                        bool channels_last, void* staged, cudaStream_t stream);

}  // namespace dcn::cuda
